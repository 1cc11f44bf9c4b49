"""The chat model as editors' commands use it: connected once for equal settings, asked with the
workspace's context, and its unfinished answers told as errors."""

import asyncio
from collections.abc import Callable, Sequence

from completion.chat import Chat, connect
from completion.chat_context import Selection
from completion.chat_history import History
from completion.chat_prompts import Part, Task
from completion.client import Unavailable
from completion.conversation import Answer, Conversation
from completion.index import Index
from tandem.config import Config
from tandem.errors import EngineError

_UNFINISHED = {
    "cut": "broke off its answer",
    "refusal": "refused",
    "content_filter": "was not allowed to answer",
    "loop": "began to repeat itself",
}


class Models:
    """Connections by settings. `source` is who asks, for the trace. Close it when done."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._known: list[tuple[Config, Chat]] = []
        self._connecting = asyncio.Lock()

    async def ask(
        self,
        config: Config,
        task: Task,
        asked: str,
        selections: Sequence[Selection] = (),
        parts: Sequence[Part] = (),
        *,
        index: Index | None = None,
        history: History | None = None,
        on_text: Callable[[str], None] = lambda piece: None,
        tell: Callable[[str], None] = lambda line: None,
    ) -> Answer:
        """See `Conversation.ask`. `tell` hears of a model that has to be loaded.

        Raises TandemError, also for a refusal and for an answer that broke off.
        """
        chat = await self._chat(config, tell)
        try:
            answer = await Conversation(chat, index, history).ask(
                asked, selections, task, parts=parts, on_text=on_text
            )
        except Unavailable:
            await self._forget(chat)
            raise
        why = _UNFINISHED.get(answer.said.finish, "" if answer.text.strip() else "said nothing")
        if why:
            start = answer.text.strip().partition("\n")[0][:200] or "no word came."
            raise EngineError(f"{chat.model} {why}: {start}")
        return answer

    async def close(self) -> None:
        known, self._known = self._known, []
        for _, chat in known:
            await chat.close()

    async def _chat(self, config: Config, tell: Callable[[str], None]) -> Chat:
        async with self._connecting:
            for known, chat in self._known:
                if known == config:
                    return chat
            chat = await connect(config, source=self._source, progress=tell)
            self._known.append((config, chat))
            return chat

    async def _forget(self, lost: Chat) -> None:
        self._known = [one for one in self._known if one[1] is not lost]
        await lost.close()
