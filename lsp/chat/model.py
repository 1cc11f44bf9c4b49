"""The chat model as the editor's commands use it: connected once, its prompts fitted, its pieces
told as they come."""

import asyncio
from collections.abc import Callable, Sequence

from completion import chat_prompts
from completion.chat import Chat, Said, connect
from completion.chat_prompts import Part, Prompt, Task
from completion.client import Unavailable
from completion.counting import Counter, counter_for, estimate
from completion.messages import Message
from tandem.config import Config
from tandem.errors import EngineError

# Of a model's context an answer may take so much.
_ANSWER_SHARE = 3


class Models:
    """Connections by settings. Close it when done."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._known: list[tuple[Config, Chat, Counter]] = []
        self._connecting = asyncio.Lock()

    async def room(self, config: Config, tell: Callable[[str], None]) -> tuple[int, Counter]:
        """Tokens for a prompt, and how they are counted; connects. Raises TandemError."""
        chat, count = await self._of(config, tell)
        return chat.context - _longest(chat) - 16, count

    async def say(
        self,
        config: Config,
        task: Task,
        asked: str,
        parts: Sequence[Part] = (),
        history: Sequence[Message] = (),
        *,
        prediction: str = "",
        on_text: Callable[[str], None] = lambda piece: None,
        tell: Callable[[str], None] = lambda line: None,
    ) -> tuple[Said, Prompt]:
        """An answer that is whole, and what it was asked with. `tell` hears of a model that has
        to be loaded. Raises TandemError, also for a refusal and for half an answer."""
        room, count = await self.room(config, tell)
        chat, _ = await self._of(config, tell)
        prompt = chat_prompts.prompt(task, asked, parts, history, budget=room, count=count)
        try:
            said = await chat.say(
                prompt.messages, max_tokens=_longest(chat), prediction=prediction, on_text=on_text
            )
        except Unavailable:
            await self._forget(config)
            raise
        if said.finish in _UNFINISHED:
            why = _UNFINISHED[said.finish]
            raise EngineError(f"{chat.model} {why}: {_first_line(said.text)}")
        return said, prompt

    async def close(self) -> None:
        known, self._known = self._known, []
        for _, chat, _ in known:
            await chat.close()

    async def _of(self, config: Config, tell: Callable[[str], None]) -> tuple[Chat, Counter]:
        async with self._connecting:
            for known, chat, count in self._known:
                if known == config:
                    return chat, count
            chat = await connect(config, source=self._source, progress=tell)
            count = estimate
            if not config.chat.endpoint:
                count = await asyncio.to_thread(counter_for, config)
            self._known.append((config, chat, count))
            return chat, count

    async def _forget(self, config: Config) -> None:
        for one in [one for one in self._known if one[0] == config]:
            self._known.remove(one)
            await one[1].close()


_UNFINISHED = {
    "cut": "broke off its answer",
    "refusal": "refused",
    "content_filter": "was not allowed to answer",
}


def _longest(chat: Chat) -> int:
    """Tokens of an answer."""
    return min(chat.options.max_tokens, chat.context // _ANSWER_SHARE)


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0][:200] or "no word came."
