"""The cache against a plain model of it, while edits of all kinds happen at and off the cursor.

The model keeps all answers with the lines around them and tries every one at every distance. It
says what must be found; and what is found must give the text that the first answer would have.
"""

from dataclasses import dataclass
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from completion.cache import Cache, Known
from completion.place import LINES_AFTER, LINES_BEFORE, LONGEST_CLOSER, Place

FILE = Path("/w/a.py")
# Few letters, so that texts repeat themselves and places look alike.
texts = st.lists(st.sampled_from(["a", "b", "(", ")", "\n", "\n  ", "é"]), max_size=6).map("".join)
lines = st.lists(st.sampled_from(["a\n", "b\n", "\n", "(a)\n"]), max_size=16).map("".join)
closers = st.sampled_from(["", ")", "))", "\n)", "a"])


def above(text: str) -> tuple[bool, list[str]]:
    """The lines that count before a cursor at the text's end, and whether the file starts there."""
    found = text.split("\n")
    return len(found) <= LINES_BEFORE + 1, found[-LINES_BEFORE - 1 :]


def below(text: str) -> tuple[bool, list[str]]:
    found = text.split("\n")
    return len(found) <= LINES_AFTER + 1, found[: LINES_AFTER + 1]


@dataclass(frozen=True)
class Answer:
    """What the model keeps of one `put`."""

    above: tuple[bool, list[str]]
    below: tuple[bool, list[str]]
    known: Known

    def results(self, before: str, after: str) -> set[str]:
        """Every text that the answer may still give here."""
        text = self.known.text
        given = set()
        for typed in range(min(len(text), len(before)) + 1):
            start = before[: len(before) - typed]
            if start + text[:typed] != before or above(start) != self.above:
                continue
            for size in range(min(LONGEST_CLOSER, len(after)) + 1 if typed else 1):
                closed, rest = after[:size], text[typed:]
                if below(after[size:]) != self.below or not rest.strip():
                    continue
                if rest.endswith(closed):
                    fits = bool(rest.removesuffix(closed).strip())
                else:
                    fits = "\n" not in closed and subsequence(closed, rest.split("\n")[0])
                if fits:
                    given.add(start + text + after[size:])
        return given


def subsequence(part: str, whole: str) -> bool:
    for letter in whole:
        part = part[1:] if part.startswith(letter) else part
    return not part


class Typing(RuleBasedStateMachine):
    """A document, its cursor, the cache, and the model: answers, the one used last at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.cache = Cache()
        self.before = self.after = ""
        self.answers: list[Answer] = []
        self.number = 0

    @initialize(before=lines, start=texts, after=lines)
    def open(self, before: str, start: str, after: str) -> None:
        self.before, self.after = before + start, "\n" + after

    @rule(text=texts, closed=closers)
    def type(self, text: str, closed: str) -> None:
        self.before, self.after = self.before + text, closed + self.after

    @precondition(lambda self: self.answers)
    @rule(data=st.data(), closed=closers)
    def type_what_was_answered(self, data: st.DataObject, closed: str) -> None:
        text = data.draw(st.sampled_from(self.answers)).known.text
        text = text[data.draw(st.integers(0, 3)) :]
        self.type(text[: data.draw(st.integers(0, len(text)))], closed)

    @rule(count=st.integers(1, 6))
    def delete(self, count: int) -> None:
        self.before = self.before[:-count]

    @rule(count=st.integers(1, 3))
    def delete_forward(self, count: int) -> None:
        self.after = self.after[count:]

    @rule(share=st.floats(0, 1))
    def move(self, share: float) -> None:
        text = self.before + self.after
        at = int(share * len(text))
        self.before, self.after = text[:at], text[at:]

    @rule(text=lines)
    def write_at_the_top(self, text: str) -> None:
        self.before = text + self.before

    @rule(text=lines)
    def write_at_the_end(self, text: str) -> None:
        self.after += text

    @rule(share=st.floats(0, 1), text=texts)
    def replace_above(self, share: float, text: str) -> None:
        at = int(share * len(self.before))
        self.before = self.before[:at] + text + self.before[at + 3 :]

    @rule(text=texts.filter(str.strip))
    def put(self, text: str) -> None:
        self._put(self.before, self.after, Known(text, id=self._name()))

    @rule(first=texts.filter(str.strip), then=texts.filter(str.strip))
    def put_and_prefetch(self, first: str, then: str) -> None:
        self.put(first)
        self._put(self.before + first, self.after, Known(then, id=self._name(), prefetched=True))

    @invariant()
    def it_finds_what_must_be_found_and_gives_the_first_answers_text(self) -> None:
        hit = self.cache.find(FILE, self.before + self.after, len(self.before))
        fitting = [one for one in self.answers if one.results(self.before, self.after)]
        assert (hit.known if hit else None) == (fitting[-1].known if fitting else None)
        if hit is None:
            return
        assert hit.text.strip()
        assert hit.typed <= len(self.before)
        assert self.after[: hit.replaces].count("\n") == 0
        given = self.before + hit.text + self.after[hit.replaces :]
        assert given in fitting[-1].results(self.before, self.after)
        self.answers.remove(fitting[-1])
        self.answers.append(fitting[-1])

    @invariant()
    def a_place_holds_the_lines_that_count(self) -> None:
        place = Place.of(self.before + self.after, len(self.before))
        at_start, before = above(self.before)
        at_end, after = below(self.after)
        assert place.before == "\n".join(before if at_start else ["", *before])
        assert place.after == "\n".join(after if at_end else [*after, ""])
        assert (place.at_start, place.at_end) == (at_start, at_end)

    def _put(self, before: str, after: str, known: Known) -> None:
        self.cache.put(FILE, before + after, len(before), known)
        place = above(before), below(after)
        self.answers = [one for one in self.answers if (one.above, one.below) != place]
        self.answers.append(Answer(*place, known))

    def _name(self) -> str:
        self.number += 1
        return str(self.number)


TestTyping = Typing.TestCase
TestTyping.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
