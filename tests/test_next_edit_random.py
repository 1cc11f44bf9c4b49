"""Whatever is typed: edits are of what stands there, and leave a text that parses parsing."""

import ast
import random
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from completion import syntax
from completion.document import Document
from completion.next_edit import NextEdits
from completion.next_edit.text import difference

FILE = Path("/nowhere/file")
NAMES = ("a", "b", "ab", "self", "é")
LINES = (
    "def {0}({1}, {2}=1):",
    "    {0} = {1} + {2}",
    "    return [{0} for {1} in {2}]",
    "    {0}({1}, {2}={0})",
    "    {0}.{1} = {2}['{1}']",
    "    global {0}",
    "class {0}:",
    "    def {1}(self, {2}):",
    "        self.{0} = {1}",
    "        return lambda {0}: {0} + {2}",
    "{0} = {{'{1}': {2}}}",
    "print({0}['{1}'], {2})",
    "from {0} import {1} as {2}",
    "# {0} '{1}'",
    "'''{0} {1}'''",
)

words = st.tuples(*[st.sampled_from(NAMES)] * 3)
lines = st.lists(st.tuples(st.sampled_from(LINES), words), min_size=1, max_size=14)


def source(made: list[tuple[str, tuple[str, ...]]]) -> str:
    return "".join(line.format(*names) + "\n" for line, names in made)


def parses(text: str) -> bool:
    try:
        ast.parse(text)
    except (SyntaxError, ValueError):
        return False
    return True


@settings(deadline=None, max_examples=200)
@given(lines, st.randoms(use_true_random=False), st.sampled_from(["python", "javascript", "go"]))
def test_every_edit_is_of_the_text_at_its_range_and_following_them_ends(
    made: list[tuple[str, tuple[str, ...]]], chance: random.Random, language: str
) -> None:
    edits, text, now = NextEdits(), source(made), 0.0
    for _ in range(3):
        now += chance.choice((0.1, 5.0))
        start = chance.randrange(len(text) + 1)
        end = min(len(text), start + chance.randrange(4))
        before = text
        edits.before_change(FILE, language, lambda before=before: before, now)
        text = text[:start] + chance.choice(("", "x", "a", "b, ", "(", "\n")) + text[end:]
        for _ in range(60):
            asked = edits.ask(Document(FILE, language, text), start, None, lambda _: None)
            if not asked.edits:
                break
            edit = asked.edits[0]
            assert text[edit.offset : edit.offset + len(edit.old)] == edit.old
            assert edit.new != edit.old
            now += 5.0
            before = text
            edits.before_change(FILE, language, lambda before=before: before, now)
            text = text[: edit.offset] + edit.new + text[edit.offset + len(edit.old) :]
        else:
            raise AssertionError("it never ends")


@settings(deadline=None, max_examples=300)
@given(lines, st.randoms(use_true_random=False))
def test_a_renamed_name_taken_everywhere_leaves_code_that_compiles_the_same(
    made: list[tuple[str, tuple[str, ...]]], chance: random.Random
) -> None:
    text = source(list(made))
    found = [
        at
        for name in NAMES
        for at in range(len(text))
        if text.startswith(name, at)
        and not (text[at - 1 : at] + text[at + len(name)]).strip(" (),.:=")
    ]
    if not parses(text) or not found:
        return
    at = chance.choice(found)
    end = at
    while text[end].isidentifier():
        end += 1
    if text[at:end] not in NAMES:
        return
    changed = text[:at] + "renamed" + text[end:]
    edits = NextEdits()
    edits.before_change(FILE, "python", lambda: text, 0.0)
    asked = edits.ask(Document(FILE, "python", changed), at, None, lambda _: None)
    done = changed
    for edit in sorted(asked.edits, key=lambda one: -one.offset):
        assert done[edit.offset : edit.offset + len(edit.old)] == edit.old
        done = done[: edit.offset] + edit.new + done[edit.offset + len(edit.old) :]
    if parses(changed):
        assert parses(done)


@settings(max_examples=300)
@given(st.text("ab \n(é", max_size=60), st.text("ab \n(é", max_size=60))
def test_a_difference_leads_from_one_text_to_the_other(old: str, new: str) -> None:
    before, after = syntax.encoded(old), syntax.encoded(new)
    diff = difference(before, after)
    assert diff is not None
    pieces, at = [], 0
    for one in diff.segments:
        pieces += [before[at : one.start], after[one.new_start : one.new_end]]
        at = one.end
    assert b"".join([*pieces, before[at:]]) == after
    for start in range(len(before)):
        where = diff.now(start, start + 1)
        if where is not None:
            assert after[where[0] : where[1]] == before[start : start + 1]
