"""One suggestion's way through VS Code: from the key to the text on the screen, in milliseconds.

    begin(page)
    …one key is typed…
    way = of(page, log, line, column)

The page notes when the key came and when ghost text stood in it; the extension's log, at the level
`trace`, has when the server was asked, when it answered, when VS Code wanted the answer and when it
was given. All clocks are the machine's.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Page

NO_ANSWER_S = 5.0
MARK = "times {"  # src/ghost.ts
WATCH = """() => {
  window.keyAt = window.ghostAt = 0
  document.addEventListener('keydown', event => {
    keyAt = event.timeStamp
    ghostAt = 0
  }, true)
  new MutationObserver(() => {
    if (!ghostAt && document.querySelector('.part.editor .ghost-text-decoration')) {
      ghostAt = performance.now()
    }
  }).observe(document.querySelector('.part.editor'), {
    subtree: true, childList: true, attributes: true, attributeFilter: ['class'],
  })
}"""
SEEN = "ghostAt && [performance.timeOrigin + keyAt, performance.timeOrigin + ghostAt]"


@dataclass(frozen=True)
class Way:
    """Six moments, milliseconds since 1970."""

    key: float
    asked: float  # the server
    answered: float  # by the server
    wanted: float  # by VS Code
    given: float  # to VS Code
    seen: float

    @property
    def is_early(self) -> bool:
        """Whether the server was asked before VS Code did, and that was what VS Code then got."""
        return self.asked < self.wanted

    @property
    def total_ms(self) -> float:
        return self.seen - self.key

    def parts_ms(self) -> dict[str, float]:
        """Where the time went; the sum is the whole."""
        ready = max(self.answered, self.wanted)
        return {
            "key to the question to the server": self.asked - self.key,
            "the server and the way to it": self.answered - self.asked,
            "until VS Code wants the answer": ready - self.answered,
            "the answer in the extension": self.given - ready,
            "to the screen": self.seen - self.given,
        }


def begin(page: Page) -> None:
    """Watch for keys and ghost text from now on."""
    page.evaluate(WATCH)


def of(page: Page, log: Path, line: int, column: int) -> Way | None:
    """The way of what came behind the key that was typed at a place, counted from 1; None for
    nothing."""
    give_up = time.monotonic() + NO_ANSWER_S
    while time.monotonic() < give_up:
        seen = page.evaluate(SEEN)
        # The cursor stands behind the key, and VS Code counts from 0.
        told = [one for one in _told(log) if (one["line"], one["character"]) == (line - 1, column)]
        if seen and told:
            last = told[-1]
            return Way(
                seen[0],
                last["asked"],
                last["answered"],
                last["wanted"],
                last["given"],
                seen[1],
            )
        page.wait_for_timeout(20)
    return None


def _told(log: Path) -> Iterator[dict[str, float]]:
    for line in log.read_text(errors="replace").splitlines():
        if MARK in line:
            yield json.loads(line[line.index(MARK) + len(MARK) - 1 :])
