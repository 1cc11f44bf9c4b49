"""What the real model suggests at many places of real files, each beside what the file holds.

A stretch of lines is taken out of a file and written again from its start; at some places on the
way the model is asked. The prefix grows and the suffix stays, as when one types, so most of a
prompt is read once. One JSON object a place; what is not needed to tell features is left out.
"""

import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.parts.typist import common_start
from completion import filters, sure
from completion.asking import FILTERED_SUFFIX
from completion.branches import TOLD, branches
from completion.client import TokenTold
from completion.document import Document, language_of, read_text
from completion.engine.request import Request, TokenLogprob
from completion.engine.tokenizer import Tokenizer
from completion.gate import Ask, refusal
from completion.hole import Hole, hole_kind
from completion.indent import Dedent
from completion.languages import PLAINTEXT
from finetune.variant import Variant
from tandem.config import CompletionConfig
from tandem.errors import UsageError

if TYPE_CHECKING:
    from completion.prompt import Prompt

LONGEST_STRETCH = 8  # lines
PLACES = 12  # in a stretch
TOKENS = 40
_LONGEST_LINE = 160
_SIZES = range(1500, 100_000)  # bytes of a file worth typing in
_OPTIONS = CompletionConfig()


@dataclass(frozen=True)
class Suggestion:
    """Shown at `offset` of `file` without what lies between there and `end`.

    `stretch` numbers the stretch, so that what was shown before there is known. `logprobs` are of
    the tokens that `shown` is made of, in nats. `expected_ms` is how long the answer took.
    """

    repository: str
    file: str
    stretch: int
    offset: int
    end: int
    shown: str
    logprobs: tuple[float, ...]
    expected_ms: float = 0.0

    @property
    def text(self) -> tuple[str, str]:
        """Prefix and suffix."""
        whole = _read(self.file)
        return whole[: self.offset], whole[self.end :]

    @property
    def accepted(self) -> int:
        """Characters of it that the file holds there: all of it, its first line, or none."""
        for part in (self.shown.rstrip(), self.shown.strip("\n").split("\n", 1)[0].rstrip()):
            if part and _read(self.file).startswith(part, self.offset):
                return len(part)
        return 0

    @property
    def right(self) -> int:
        """Characters of it, from its start, that the file holds there."""
        there = _read(self.file)[self.offset : self.offset + len(self.shown)]
        return common_start(self.shown, there)

    @property
    def behind(self) -> int:
        """Where the cursor is when it is accepted, or where it was."""
        return self.offset + self.accepted

    def rests_of(self, before: "Suggestion") -> bool:
        """What an earlier one is once the characters between the two are typed."""
        typed = _read(self.file)[before.offset : self.offset]
        return typed + self.shown == before.shown


@dataclass(frozen=True)
class Told:
    """A text that may be shown, and where its tokens end in it, with their nats."""

    text: str
    tokens: tuple[tuple[int, float], ...] = ()

    def cut(self, size: int) -> "Told":
        """Its first characters, with the tokens that begin in them."""
        starts = (0, *(end for end, _ in self.tokens))
        pairs = zip(starts, self.tokens, strict=False)
        return Told(self.text[:size], tuple(token for start, token in pairs if start < size))

    def after(self, size: int) -> "Told":
        """What follows these characters."""
        return Told(self.text[size:], tuple((e - size, n) for e, n in self.tokens if e > size))

    def right(self, coming: str) -> int:
        """Characters of it, from the start, that are what comes."""
        return common_start(self.text, coming)


def ask(folders: Sequence[Path], variant: Variant, count: int, seed: int) -> Iterator[Suggestion]:
    """About `count` places of each folder at which something is shown."""
    for folder in folders:
        rng = random.Random(f"{seed} {folder.name}")
        made = 0
        files = [file for file in sorted(folder.rglob("*")) if _usable(file, folder)]
        for number in range(10 * count // PLACES):
            if made >= count or not files:
                break
            for found in _stretch(rng.choice(files), folder, number, variant, rng):
                made += 1
                yield found


def save(found: Suggestion) -> str:
    return json.dumps({"v": 1, **asdict(found)})


def load(file: Path) -> list[Suggestion]:
    rows = []
    for line in file.read_text("utf-8").splitlines():
        values = json.loads(line)
        assert values.pop("v") == 1
        rows.append(Suggestion(**{**values, "logprobs": tuple(values["logprobs"])}))
    return rows


@lru_cache(maxsize=16)
def _read(file: str) -> str:
    return read_text(Path(file))[0]


def _usable(file: Path, folder: Path) -> bool:
    """Code that people type."""
    if any(part.startswith(".") for part in file.relative_to(folder).parts) or not file.is_file():
        return False
    if language_of(file) == PLAINTEXT.name or file.stat().st_size not in _SIZES:
        return False
    try:
        text = read_text(file)[0]
    except UsageError:
        return False
    return max(map(len, text.split("\n"))) <= _LONGEST_LINE


def _stretch(
    file: Path, folder: Path, number: int, variant: Variant, rng: random.Random
) -> Iterator[Suggestion]:
    text, language = read_text(file)[0], language_of(file)
    path = file.relative_to(folder).as_posix()
    lines = text.split("\n")
    first = rng.randrange(len(lines))
    last = min(len(lines), first + rng.randint(1, LONGEST_STRETCH))
    start = sum(len(line) + 1 for line in lines[:first])
    end = sum(len(line) + 1 for line in lines[:last]) - 1
    places = [at for at in range(start, end) if _typed_to(text, at)]
    for at in sorted(rng.sample(places, min(PLACES, len(places)))):
        prefix, suffix = text[:at], text[end:]
        document = Document(file, language, prefix + suffix)
        hole = hole_kind(document.text, at, language)
        if refusal(document, at, hole, Ask(0.0), _OPTIONS):  # nobody is asked there
            continue
        built = variant.encoder.prompt(
            prefix, suffix, language, hole.kind, variant.prompt_tokens, path
        )
        if built is None:
            continue
        shown, logprobs, ms = _shown(variant, prefix, suffix, hole, built)
        if shown:
            empty = Suggestion(folder.name, str(file), number, at, end, shown, ())
            yield replace(empty, logprobs=tuple(round(one, 4) for one in logprobs), expected_ms=ms)


def _typed_to(text: str, at: int) -> bool:
    """Fingers stop everywhere but in the indentation that the editor types."""
    line = text[text.rfind("\n", 0, at) + 1 : at]
    return bool(line.strip()) or not text[at : at + 1].isspace()


def _shown(
    variant: Variant, prefix: str, suffix: str, hole: Hole, built: "Prompt"
) -> tuple[str, list[float], float]:
    """What the editor would show, its tokens' log-probabilities, milliseconds."""
    kept, tokens, ms = _Question(variant, prefix, suffix, hole, built).answer(
        built.text, built.heal
    )
    return kept, [told.logprob for at, told in tokens if at < max(1, len(kept))], round(ms, 1)


def told(
    variant: Variant, prefix: str, suffix: str, language: str, path: str, most: int
) -> list[Told]:
    """The greedy answer and its closest calls, at most `most`, as they may be shown."""
    hole = hole_kind(prefix + suffix, len(prefix), language)
    built = variant.encoder.prompt(prefix, suffix, language, hole.kind, variant.prompt_tokens, path)
    if built is None:
        return []
    question = _Question(variant, prefix, suffix, hole, built)
    kept, tokens, _ = question.answer(built.text, built.heal)
    found = [Told(kept, _ends(tokens, kept))]
    for branch in branches(question.raw, [one for _, one in tokens], built.heal, most - 1, 2.0):
        text = built.text + built.heal + branch.text
        other, more, _ = question.answer(text, "", branch.text, branch.complete)
        before = ((len(branch.text), sum(branch.logprobs)),)
        found.append(Told(other, (*before, *_ends(more, other))))
    return [one for one in found if one.text.strip()]


def _ends(tokens: Sequence[tuple[int, TokenTold]], kept: str) -> tuple[tuple[int, float], ...]:
    """Where the tokens of what is kept end in it."""
    starts = [at for at, _ in tokens]
    pairs = zip(starts, [*starts[1:], len(kept)], tokens, strict=False)
    return tuple((end, told.logprob) for at, end, (_, told) in pairs if at < len(kept) and end > 0)


class _Question:
    """One place that the model is asked about; `raw` is its last answer as it came."""

    def __init__(
        self, variant: Variant, prefix: str, suffix: str, hole: Hole, built: "Prompt"
    ) -> None:
        self._variant, self._stop = variant, built.stop
        self._prefix, self._suffix, self._hole = prefix, suffix, hole
        self.raw = ""

    def answer(
        self, prompt: str, heal: str, begun: str = "", ended: bool = False
    ) -> tuple[str, list[tuple[int, TokenTold]], float]:
        """What may be shown of it, its tokens with where each begins in it, milliseconds.

        It begins with `begun`; `ended`: that is all of it.
        """
        decoder, after = self._variant.decoder, self._suffix[:FILTERED_SUFFIX]
        dedent = Dedent(self._prefix, self._hole)
        stop = filters.StopRule(self._prefix, after, self._hole, _OPTIONS.max_lines)
        ids = tuple(decoder.tokenizer.encode(prompt, begin=True))
        request = Request(ids, TOKENS, stop=self._stop, heal=heal, logprobs=TOLD)
        raw, ms = begun, 0.0
        tokens: list[tuple[int, TokenTold]] = []
        stopped = bool(begun) and stop.feed(dedent.feed(begun))
        for chunk in () if stopped or ended else decoder.generate(request):
            tokens += [(len(raw), self._told(one)) for one in chunk.logprobs]
            raw += chunk.text
            ended, ms = chunk.finish == "stop", chunk.usage.prefill_ms + chunk.usage.decode_ms
            if stop.feed(dedent.feed(chunk.text)):
                break
        self.raw = raw
        complete = stop.stopped or ended
        kept = filters.finish(stop.text, self._prefix, after, self._hole, complete).text
        return kept, tokens, ms

    def _told(self, one: TokenLogprob) -> TokenTold:
        return TokenTold(
            self._text(one.token), one.logprob, {self._text(id): nats for id, nats in one.top}
        )

    def _text(self, token: int) -> str:
        """ "" for the end of an answer."""
        decoder = self._variant.decoder
        special = decoder.model.config.eos_ids | decoder.tokenizer.special_ids
        return (
            "" if token in special else decoder.tokenizer.bytes_at(token).decode("utf-8", "replace")
        )


def ends(one: Suggestion, tokenizer: Tokenizer) -> list[tuple[int, float]]:
    """Where the suggestion's tokens end in it, with their nats; none where its text is not made of
    as many tokens as were told, since what was healed is not in it."""
    ids = tokenizer.encode(one.shown)
    if len(ids) != len(one.logprobs):
        return []
    sizes = [len(tokenizer.bytes_at(token).decode("utf-8", "replace")) for token in ids]
    return list(zip(accumulate(sizes), one.logprobs, strict=True))


def may_end(one: Suggestion) -> Callable[[str], bool]:
    """Whether a start of it may be shown alone."""
    prefix, suffix = one.text
    hole = hole_kind(prefix + suffix, len(prefix), language_of(Path(one.file)))
    return filters.may_end(prefix, suffix, hole)


def parts(one: Suggestion, tokenizer: Tokenizer) -> list[Suggestion]:
    """What the session shows of it, as `completion.sure` has it: a part, and behind each that is
    right the next one."""
    found, tokens = [], ends(one, tokenizer)
    for at, size, left in walk(one.shown, tokens, may_end(one), one.right):
        starts = (0, *(end for end, _ in left))
        begun = [nats for start, (_, nats) in zip(starts, left, strict=False) if start < size]
        part = replace(
            one,
            offset=one.offset + at,
            shown=one.shown[at : at + size],
            logprobs=tuple(begun) if tokens else one.logprobs,
        )
        found.append(part)
    return found


def walk(
    text: str,
    tokens: Sequence[tuple[int, float]],
    may: Callable[[str], bool],
    right: int,
    likely: bool = True,
) -> Iterator[tuple[int, int, list[tuple[int, float]]]]:
    """The parts that are shown of a text of which `right` characters are right, the last of them
    the first that is wrong: where each begins, its size, and the tokens from there on. Not `likely`:
    all of it at once."""
    at = 0
    while at < len(text.rstrip()):
        rest = text[at:]
        left = [(end - at, nats) for end, nats in tokens if end > at]
        size = len(rest)
        if likely:
            size = sure.sure_part(rest, left, lambda start, at=at: may(text[:at] + start))
        yield at, size, left
        if right < at + len(rest[:size].rstrip()):
            break
        at += size
