"""Whether speculative decoding pays: the share of guessed tokens that were right.

A pass that checks k guesses yields 1 + accepted tokens and costs 1 + k * c plain passes, c being
what a guessed token costs to make and to check. So it pays while accepted / guessed > c (Leviathan
et al. 2023, section 3.3, with the draft's cost and the check's in one figure).
"""

import hashlib
import json
from datetime import date
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from completion.vllm.metrics import Counts
from completion.vllm.settings import Method, Speculation
from tandem import paths

FORMAT = 1
# c on a GPU that a few requests leave idle in between, by method: guesses from a text cost their
# check alone; an EAGLE-3 head is a layer of its model, a draft model some tenth of it.
_COSTS: dict[Method, float] = {
    "off": 1.0,
    "ngram": 0.05,
    "suffix": 0.05,
    "eagle3": 0.1,
    "draft": 0.2,
}
# On a CPU a guess costs next to nothing and having guesses at all 17% of each pass, by
# `python -m benchmarks.guesses` (docs/vllm.md): at about one guess a pass it pays from that on.
_CPU_CHECK = 0.12


class Verdict(BaseModel):
    """`share` of `guessed` tokens were right, and `needed` had to be."""

    share: float
    needed: float
    guessed: int
    day: str

    def __str__(self) -> str:
        return (
            f"{self.share:.0%} of {self.guessed} guessed tokens were right, "
            f"and it pays from {self.needed:.0%} on"
        )


class Judge:
    """Looks at each window of so many guessed tokens; one that does not pay is enough."""

    def __init__(self, wanted: Speculation, cpu: bool) -> None:
        self._needed = needed(wanted, cpu)
        self._window = wanted.judge_after
        self._before = Counts()

    def look(self, now: Counts) -> Verdict | None:
        """A verdict against it, or None. Counts that fall back are those of a new process."""
        if now.drafted < self._before.drafted:
            self._before = Counts()
        guessed = now.drafted - self._before.drafted
        if guessed < self._window:
            return None
        share = (now.accepted - self._before.accepted) / guessed
        self._before = now
        if share >= self._needed:
            return None
        today = date.today().isoformat()
        return Verdict(share=share, needed=self._needed, guessed=int(guessed), day=today)


def needed(wanted: Speculation, cpu: bool) -> float:
    """The share from which on it pays."""
    if wanted.least_accepted is not None:
        return wanted.least_accepted
    return _COSTS[wanted.method] + (_CPU_CHECK if cpu else 0.0)


class Remembered:
    """Verdicts between runs, in one file: what did not pay is not tried again."""

    def __init__(self, file: Path | None = None) -> None:
        self.file = file or paths.state_dir() / "vllm" / "speculation.json"

    def against(self, model: str, wanted: Speculation) -> Verdict | None:
        """Of these very settings."""
        try:
            return Verdict.model_validate(self._all().get(_key(model, wanted)))
        except ValidationError:
            return None

    def keep(self, model: str, wanted: Speculation, verdict: Verdict) -> None:
        verdicts = {**self._all(), _key(model, wanted): verdict.model_dump()}
        with paths.atomic_write(self.file) as stream:
            json.dump({"v": FORMAT, "off": verdicts}, stream, indent=1)

    def _all(self) -> dict[str, Any]:
        try:
            told = json.loads(self.file.read_text("utf-8"))
            return told["off"] if told["v"] == FORMAT else {}
        except (OSError, ValueError, KeyError, TypeError):
            return {}


def _key(model: str, wanted: Speculation) -> str:
    facts = f"{model} {wanted.model_dump_json()}"
    return f"{model} {wanted.method} {hashlib.sha256(facts.encode()).hexdigest()[:12]}"
