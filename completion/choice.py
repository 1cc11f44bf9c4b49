"""Which of the served models completes a file: its repository's adapter, or the base.

`tandem adapters use` takes effect with the next request: what is in use is looked up each time,
and the server is asked again for its models when that changed. Where nothing is in use here, the
adapter that a gateway offers for the file's repository is (`offered`). An adapter that the server
does not have, or fails to load, leaves the base until something changes.
"""

import logging
from collections.abc import Iterable
from pathlib import Path

from completion import activations
from completion.client import Client, ServedModel
from completion.offered import Offered
from tandem import workspace
from tandem.config import Config
from tandem.errors import EngineError

log = logging.getLogger(__name__)


class Choice:
    """For one base model at one server. `rows` are its models where others may add to them."""

    def __init__(self, base: str, rows: Iterable[ServedModel] | None = None) -> None:
        self._base = base
        self._stamp: tuple[int, ...] = ()
        self._listed: set[str] | None = None
        self._failed: dict[str, str] = {}
        self._offered = None if rows is None else Offered(base, rows)

    async def model(self, client: Client, file: Path) -> tuple[str, str]:
        """The model to ask for, and why it is not the adapter in use if it is not."""
        root = workspace.root_of(file)
        if root is None:
            return self._base, ""
        name, reason = await self._in_use(client, root)
        if name is None and self._offered is not None:
            name, told = await self._offered.model(client, root)
            reason = "" if name else told or reason
        return name or self._base, reason

    async def _in_use(self, client: Client, root: Path) -> tuple[str | None, str]:
        """The adapter that was chosen on this machine, or why it is not."""
        name = activations.active_for(root, self._base)
        if name is None:
            return None, ""
        if self._stamp != (stamp := activations.stamp()):
            self._stamp, self._listed, self._failed = stamp, None, {}
        if self._listed is None:
            try:
                self._listed = {model.id for model in await client.models()}
            except EngineError as error:  # the completion itself will tell
                return None, str(error)
        if name not in self._listed:
            return None, f"{name} is not served; see: tandem adapters show {name}"
        if name in self._failed:
            return None, self._failed[name]
        return name, ""

    def failed(self, name: str, error: EngineError) -> str:
        """Leave an adapter alone from now on; returns the base model's name."""
        log.warning("the adapter %s failed: %s", name, error)
        if self._offered is None or not self._offered.failed(name, error):
            self._failed[name] = str(error)
        return self._base


def choose(served: list[ServedModel], config: Config) -> ServedModel:
    """The base model to ask for. Raises EngineError if it is not served."""
    if not served:
        raise EngineError(f"{config.endpoint} serves no model.", "Load one there.")
    by_name = {model.id: model for model in served}
    if config.model in by_name:
        return by_name[config.model]
    # The default name means "whatever is there"; any other was asked for.
    if not config.endpoint or config.model == Config.model_fields["model"].default:
        return next((model for model in served if not model.parent), served[0])
    raise EngineError(
        f"{config.endpoint} does not serve {config.model}.",
        f"It serves: {', '.join(list(by_name)[:5])}. Run: tandem models use NAME",
    )
