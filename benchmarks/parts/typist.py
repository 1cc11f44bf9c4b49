"""A person who types held-out spans of a file again, and takes what is right of what is suggested.

Which keys are wrong, which words are typed twice and where the cursor jumps to another span hang
on the seed and on the place in the file, not on what was accepted before: two servers that suggest
differently meet the same person. The editor does what VS Code does: Enter brings an indentation
(often, not always, the one that the file has), what it brought too much goes with the next Enter
or closing bracket, and brackets and quotes are closed at once. Of these the editor here closes only
those whose partner stands in the span, since the person would delete the others.

Comments, docstrings and the like (`prose`) are put in at once, as by pasting: no suggestion is shown
there by default, and nobody asks for one.

A span always holds what the file has up to the cursor, then what is wrong there, then the closers
that the editor brought. In the end the text is the file's.
"""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from benchmarks.parts.prose import code_keys
from benchmarks.parts.rhythm import Rhythm

WRONG_KEY = 0.03
RETYPED_WORD = 0.01
JUMP = 0.03  # at the end of a line
BRACKETS = {"(": ")", "[": "]", "{": "}"}
_CLOSED_BEFORE = re.compile(r"[;:.,=}\])>\s'\"]|\Z")  # VS Code's autoCloseBefore
_OPENS_STRING = re.compile(r"(?:\A|[^\w\"'])[rbfuRBFU]{0,2}\Z")
_LEAVES_BLOCK = re.compile(r"\s*(?:return|pass|raise|break|continue)\b")


@dataclass(frozen=True)
class Edit:
    """Replace the text from `start` to `end`, in characters."""

    start: int
    end: int
    text: str


@dataclass(frozen=True)
class Key:
    """One key. `edit` is None where only the cursor moved; `typed` is what stands left of the
    cursor now that did not before."""

    action: Literal["type", "delete", "over", "jump", "paste"]
    edit: Edit | None
    typed: str = ""


@dataclass
class _Closer:
    """A bracket or quote that the editor brought: `at` in the span, after `lead`."""

    at: int
    lead: str = ""


@dataclass
class _Span:
    """`done` characters of `truth` stand, then `wrong`, then the closers, innermost first."""

    before: str  # of the file, since the span above
    truth: str
    prose: tuple[tuple[int, int], ...] = ()  # in `truth`
    done: int = 0
    wrong: str = ""
    spare: bool = False  # what is wrong is indentation that the editor brought
    slips: str = ""  # wrong keys that are still to be pressed
    deleting: int = 0  # characters of a word that is typed again
    closers: list[_Closer] = field(default_factory=list)
    decided: set[int] = field(default_factory=set)

    @property
    def standing(self) -> str:
        closers = "".join(closer.lead + self.truth[closer.at] for closer in self.closers)
        return self.truth[: self.done] + self.wrong + closers

    @property
    def coming(self) -> str:
        return self.truth[self.done :]

    @property
    def complete(self) -> bool:
        return self.done == len(self.truth) and not self.wrong

    @property
    def prose_end(self) -> int:
        """Where the prose ends that comes next; `done` if none does."""
        here = (end for start, end in self.prose if start <= self.done < end)
        return min(next(here, self.done), self.limit)

    @property
    def limit(self) -> int:
        """How far text may go before it meets what the editor brought."""
        first = self.closers[0] if self.closers else None
        return first.at - len(first.lead) if first else len(self.truth)


class Typist:
    """Types the spans of one file. `text` and `offset` are what the editor has now."""

    def __init__(
        self,
        text: str,
        spans: Sequence[tuple[int, int]],
        seed: str,
        rhythm: Rhythm | None = None,
        language: str = "python",
        closing: bool = True,
        prose: Sequence[tuple[int, int]] = (),
    ) -> None:
        self._rhythm, self._seed = rhythm or Rhythm(), seed
        self._python, self._closing = language == "python", closing
        self._unit = indent_unit(text)
        self._spans: list[_Span] = []
        last = 0
        for start, end in spans:
            assert last <= start < end <= len(text), "spans come in order"
            inside = tuple((a - start, b - start) for a, b in prose if b > start and a < end)
            self._spans.append(_Span(text[last:start], text[start:end], inside))
            last = end
        self._rest, self._at = text[last:], 0

    @property
    def text(self) -> str:
        return "".join(span.before + span.standing for span in self._spans) + self._rest

    @property
    def offset(self) -> int:
        above = sum(len(s.before) + len(s.standing) for s in self._spans[: self._at])
        return above + len(self._here.before) + self._here.done + len(self._here.wrong)

    @property
    def coming(self) -> str:
        """What the file still holds in this span; "" while something wrong stands there."""
        return "" if self._here.wrong else self._here.coming

    @property
    def finished(self) -> bool:
        return all(span.complete for span in self._spans)

    def pause(self) -> float:
        """Seconds until the next key."""
        span, key = self._here, self._here.coming[:1] or "\n"
        if span.deleting or (span.wrong and not span.slips and not span.spare):
            key = "\b"
        return self._rhythm.gap(self._line, key, self._random("pause", span.wrong))

    def press(self) -> Key:
        """The next key, carried out."""
        assert not self.finished, "nothing is left to type"
        span = self._here
        if span.complete or self._jumps():
            return self._jump()
        if not (span.wrong or span.deleting) and span.prose_end > span.done:
            start, begun = self.offset, span.done
            span.done = span.prose_end
            pasted = span.truth[begun : span.done]
            return Key("paste", Edit(start, start, pasted), pasted)
        self._decide()
        if span.spare:
            return self._spend_spare()
        if span.slips:
            slip, span.slips = span.slips[0], span.slips[1:]
            span.wrong += slip
            return self._put(slip)
        if span.wrong:
            span.wrong = span.wrong[:-1]
            return Key("delete", Edit(self.offset, self.offset + 1, ""))
        if span.deleting:
            span.deleting -= 1
            span.done -= 1
            return Key("delete", Edit(self.offset, self.offset + 1, ""))
        return self._type()

    def saves(self, text: str) -> int:
        """How many keys of these next characters the person would press."""
        span = self._here
        return code_keys(span.truth, span.done, span.done + len(text), span.prose)

    def fits(self, edit: Edit) -> bool:
        """Whether this suggestion brings text that the file holds here, and nothing else."""
        return self._landing(edit) is not None

    def accept(self, edit: Edit) -> None:
        """Take a suggestion that fits."""
        landing = self._landing(edit)
        assert landing is not None, "it fits"
        span = self._here
        span.done, swallowed = landing
        span.deleting = 0
        del span.closers[:swallowed]

    def _landing(self, edit: Edit) -> tuple[int, int] | None:
        """Where in the span it ends, and how many closers it takes the place of."""
        span, text, offset = self._here, self.text, self.offset
        kept = text[edit.start : offset]
        if span.wrong or not edit.start <= offset <= edit.end or not edit.text.startswith(kept):
            return None
        new, replaced, swallowed = edit.text[len(kept) :], text[offset : edit.end], 0
        for closer in span.closers:
            if replaced:
                taken = closer.lead + span.truth[closer.at]
                if not replaced.startswith(taken):
                    return None
                replaced, swallowed = replaced[len(taken) :], swallowed + 1
        if replaced or not new or not span.coming.startswith(new):
            return None
        end, closers = span.done + len(new), span.closers
        if swallowed and end <= closers[swallowed - 1].at:
            return None
        if swallowed < len(closers) and end > closers[swallowed].at - len(closers[swallowed].lead):
            return None
        return end, swallowed

    @property
    def _here(self) -> _Span:
        return self._spans[self._at]

    @property
    def _line(self) -> str:
        """What stands left of the cursor on its line."""
        before = self._here.before + self._here.truth[: self._here.done] + self._here.wrong
        return before[before.rfind("\n") + 1 :]

    def _random(self, *what: object) -> random.Random:
        return random.Random(f"{self._seed} {self._at} {self._here.done} {what}")

    def _jumps(self) -> bool:
        span = self._here
        others = any(not other.complete for other in self._spans if other is not span)
        at_end = span.coming.startswith("\n") and not span.wrong and not span.deleting
        if not others or not at_end or -1 - span.done in span.decided:
            return False
        span.decided.add(-1 - span.done)
        return self._random("jump").random() < JUMP

    def _jump(self) -> Key:
        count = len(self._spans)
        order = [(self._at + step) % count for step in range(1, count + 1)]
        self._at = next(at for at in order if not self._spans[at].complete)
        return Key("jump", None)

    def _decide(self) -> None:
        """Once at each place: is the next key wrong, is the word before it typed again?"""
        span = self._here
        if span.done in span.decided or span.wrong or span.deleting:
            return
        span.decided.add(span.done)
        rng = self._random("wrong")
        if span.coming[0].isalnum() and rng.random() < WRONG_KEY:
            span.slips = "".join(rng.choices("etaoinsrhld_", k=rng.randint(1, 3)))
        elif (
            span.truth[: span.done][-1:].isalnum()
            and rng.random() < RETYPED_WORD
            and all(end != span.done for _, end in span.prose)
        ):
            word = re.search(r"\w*\Z", span.truth[: span.done])
            assert word is not None
            span.deleting = min(len(word[0]), rng.randint(2, 8))

    def _put(self, typed: str, replaced: int = 0, after: str = "") -> Key:
        """The key that brought `typed`, for `replaced` characters; the cursor is behind it now."""
        start = self.offset - len(typed)
        return Key("type", Edit(start, start + replaced, typed + after), typed)

    def _spend_spare(self) -> Key:
        """Too much indentation: Enter and a closing bracket take it away, or backspaces do."""
        span, spare = self._here, self._here.wrong
        if span.coming[:1] in ("\n", *BRACKETS.values()) and span.done < span.limit:
            line, span.wrong, span.spare = self._line, "", False
            if span.coming.startswith("\n"):
                return self._enter(line, len(spare))
            return self._advance(1, len(spare))
        cut = len(self._unit) if spare.endswith(self._unit) else 1
        span.wrong = spare[:-cut]
        span.spare = bool(span.wrong)
        return Key("delete", Edit(self.offset, self.offset + cut, ""))

    def _type(self) -> Key:
        span, char = self._here, self._here.coming[0]
        if span.done == span.limit:
            return self._over()
        if char == "\n":
            return self._enter(self._line, 0)
        if char in " \t" and not self._line.strip():
            run = re.match(r"[ \t]+", span.coming[: span.limit - span.done])
            return self._advance(min(len(run[0]), len(self._unit)) if run else 1)
        after = self._closer() if self._closing else ""
        return self._advance(1, after=after)

    def _advance(self, count: int, replaced: int = 0, after: str = "") -> Key:
        span = self._here
        typed = span.coming[:count]
        span.done += count
        return self._put(typed, replaced, after)

    def _over(self) -> Key:
        """Type what the editor has closed already, or go down to the line where it stands."""
        span = self._here
        closer = span.closers.pop(0)
        start, span.done = self.offset, closer.at + 1
        if closer.lead:
            return Key("jump", None)
        char = span.truth[closer.at]
        return Key("over", Edit(start, start + 1, char), char)

    def _enter(self, line: str, replaced: int) -> Key:
        span = self._here
        indent, after = self._indentation(line), ""
        if (
            span.closers
            and not span.closers[0].lead
            and BRACKETS.get(line[-1:]) == span.truth[span.closers[0].at]
        ):
            own_line = re.search(r"\n[ \t]*\Z", span.truth[span.done : span.closers[0].at])
            # Right after the opener there is but one newline: it is the one being typed.
            if own_line and own_line.start() > 0:
                span.closers[0].lead = after = own_line[0]
        wanted = re.match(r"[ \t]*", span.coming[1 : span.limit - span.done])
        same = common_start(indent, wanted[0] if wanted else "")
        span.done += 1 + same
        span.wrong = indent[same:]
        span.spare = bool(span.wrong)
        return self._put("\n" + indent, replaced, after)

    def _indentation(self, line: str) -> str:
        """What an editor puts on the line below this one."""
        indent = line[: len(line) - len(line.lstrip())]
        code = line.strip()
        if code.endswith(tuple(BRACKETS)) or (self._python and code.endswith(":")):
            return indent + self._unit
        if self._python and _LEAVES_BLOCK.match(line):
            return indent.removesuffix(self._unit)
        return indent

    def _closer(self) -> str:
        """What the editor closes with the next character, and that it is there."""
        span, char = self._here, self._here.coming[0]
        here = self.offset
        if not _CLOSED_BEFORE.match(self.text[here : here + 1]):
            return ""
        if char in BRACKETS:
            at = _partner(span.truth, span.done)
        elif char in "\"'" and not span.coming.startswith(char * 3):
            line_end = (span.truth + "\n").index("\n", span.done)
            at = span.truth.find(char, span.done + 1, line_end)
            at = at if _OPENS_STRING.search(self._line) else -1
        else:
            return ""
        if not span.done < at < span.limit:
            return ""
        span.closers.insert(0, _Closer(at))
        return span.truth[at]


def indent_unit(text: str) -> str:
    """A tab, or as many spaces as the file's least indented lines have: two, or else four."""
    indents = re.findall(r"^([ \t]+)\S", text, re.MULTILINE)
    if sum(indent[0] == "\t" for indent in indents) * 2 > len(indents):
        return "\t"
    return "  " if indents.count("  ") * 8 > len(indents) else "    "


def _partner(text: str, at: int) -> int:
    """Where the bracket at `at` is closed; -1 if nowhere. Strings are not looked into."""
    opener, depth = text[at], 0
    for i in range(at, len(text)):
        depth += (text[i] == opener) - (text[i] == BRACKETS[opener])
        if not depth:
            return i
    return -1


def common_start(one: str, other: str) -> int:
    """How many characters both begin with."""
    count = 0
    while count < min(len(one), len(other)) and one[count] == other[count]:
        count += 1
    return count
