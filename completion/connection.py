"""The connection to a model server: found or started, chosen from, found again when it is lost."""

import asyncio
from collections.abc import Callable

from completion import silence
from completion.choice import Choice, choose
from completion.client import Busy, Client, ServedModel, Superseded, Unavailable
from completion.counting import Counter, counter_for
from completion.engine import background
from completion.templates import Template, for_model, templates
from tandem import trace
from tandem.config import Config
from tandem.errors import TandemError


class Connection:
    """For one set of settings. `client` is None until `start` has found a server.

    `served` is the base model there, `template` how it is prompted, `count` gives a text's length
    in its tokens, and `choice` knows which adapter a file has.
    """

    def __init__(self, config: Config, source: str) -> None:
        self.config = config
        self.client: Client | None = None
        self.served = ServedModel("")
        self.choice = Choice("")
        self.template: Template = for_model("")
        self.count: Counter = len
        self._source = source
        self._waits_for = silence.LOADING
        self._restarting: asyncio.Task[None] | None = None

    async def start(self, progress: Callable[[str], None] | None = None) -> None:
        """Find or start the model server and wait until it answers. Raises TandemError."""
        url, token = self.config.endpoint, self.config.token.get_secret_value()
        if not url:
            address = await asyncio.to_thread(background.ensure, self.config, progress)
            url, token = address.url, address.token
        # Longer than a request may take, so that who asks is the one to end it.
        client = Client(url, token, self.config.completion.timeout_ms / 1000 + 5)
        try:
            rows = await client.models()
            served = choose(rows, self.config)
            self.template = template_of(served, self.config)
            self.count = await asyncio.to_thread(counter_for, self.config)
        except BaseException:
            await client.close()
            raise
        await self._disconnect()
        self.client, self.served = client, served
        self.choice = Choice(served.id, rows if url == self.config.endpoint else None)

    async def close(self) -> None:
        """Let go of it; it can be started again."""
        if self._restarting is not None:
            self._restarting.cancel()
        await self._disconnect()

    def able(self, capability: str) -> bool:
        return capability in self.served.capabilities

    def ready_client(self) -> Client:
        """Raises Silence while there is none."""
        if self.client is None:
            raise silence.Silence(self._waits_for)
        return self.client

    def budgets(self) -> tuple[int, int]:
        """Tokens for the file's own text and for pieces of others: what is wanted, or what the
        served model has room for."""
        options = self.config.completion
        text, pieces = options.prompt_tokens, options.context_tokens
        if not self.served.context:
            return text, pieces
        # The template's own tokens and a begin token need a little too.
        room = self.served.context - options.max_tokens - 16
        text = min(text, max(room, self.served.context // 2))
        return text, max(0, min(pieces, room - text))

    def recover(self, error: TandemError) -> str:
        """The reason for an error, and a new start if the server is gone."""
        if isinstance(error, Superseded):
            return silence.CANCELLED
        if isinstance(error, Busy):
            return silence.BUSY
        if not isinstance(error, Unavailable):
            return silence.FAILED
        self._waits_for = silence.RESTARTING
        if self._restarting is None or self._restarting.done():
            self._restarting = asyncio.create_task(self._restart())
        return silence.RESTARTING

    async def _restart(self) -> None:
        await self._disconnect()
        try:
            await self.start()
        except TandemError as error:
            self._waits_for = silence.FAILED
            trace.write(trace.Event(kind="engine", source=self._source, reason=str(error)))

    async def _disconnect(self) -> None:
        client, self.client = self.client, None
        if client is not None:
            await client.close()


def template_of(served: ServedModel, config: Config) -> Template:
    """The one that is set, else what the server says it needs, else by the model's name."""
    told = served.template if served.template in templates() else ""
    return for_model(served.id, config.template or told)
