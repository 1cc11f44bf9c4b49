"""What the server is doing, for an editor's status: the request `tandem/status`.

`tandem/status {textDocument?: {uri}}` answers

    {version, enabled, snoozedSeconds, model, failure, last}

where `model` is "" until it is ready, `failure` says why it is not, and `last` is null or the last
answer of a completion: {file, line, shown, reason, ms}, `line` from 1, `reason` "" if it showed
something. `enabled` and `model` are those of the document; if none is named, of the last answer's
file, before that of the workspace.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from completion import snooze
from tandem import __version__

if TYPE_CHECKING:
    from lsp.server import TandemServer

STATUS = "tandem/status"


@dataclass(frozen=True)
class LastAnswer:
    """To the newest request for a completion that has been answered."""

    file: str
    line: int
    shown: bool
    reason: str
    ms: float | None


def status(server: "TandemServer", document: Path | None) -> dict[str, Any]:
    """The answer to `tandem/status`."""
    last = server.completions.last
    settings = server.settings
    place = document or (Path(last.file) if last else None)
    config = settings.of(place) if place else settings.current()[0]
    model, failure = server.sessions.state(config)
    return {
        "version": __version__,
        "enabled": config.completion.enabled,
        "snoozedSeconds": snooze.left_s(),
        "model": model,
        "failure": failure,
        "last": asdict(last) if last else None,
    }
