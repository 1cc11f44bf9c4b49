"""Edits as a model writes them, applied to texts: rightly, or not at all."""

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sandbox import alike, hunks
from sandbox.hunks import Applied, Edit, NoMatch, apply, apply_all
from sandbox.patch import Patch, lines
from sandbox.patch import parse as parse_diff
from tandem.errors import UsageError

TEXT = """\
def first(a):
    x = 1
    return x


def second(a):
    x = 1
    return x + 1
"""


def done(before: str, after: str, text: str = TEXT, line: int = 0) -> Applied:
    return apply(Edit("a.py", before, after, line), text)


def refused(before: str, after: str, text: str = TEXT, line: int = 0) -> str:
    with pytest.raises(NoMatch) as caught:
        done(before, after, text, line)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# What is there to the letter


def test_lines_that_stand_once_are_replaced() -> None:
    applied = done("    return x + 1\n", "    y = x\n    return y\n")
    assert applied.text == TEXT.replace("    return x + 1\n", "    y = x\n    return y\n")
    assert (applied.first, applied.last, applied.how) == (8, 9, "exact")


def test_lines_that_go_leave_an_empty_range() -> None:
    applied = done("    return x + 1\n", "")
    assert applied.text == TEXT.removesuffix("    return x + 1\n")
    assert (applied.first, applied.last) == (8, 7)


def test_a_call_may_leave_out_the_last_line_end() -> None:
    assert done("    return x", "    return 2").text == TEXT.replace("return x\n", "return 2\n")
    assert done("    return x + 1", "    return 2").text.endswith("    return 2\n")


def test_a_line_is_whole_where_a_whole_one_stands_and_a_part_of_a_longer_one_does() -> None:
    assert done("x", "y", "xx = x\nx\n").text == "xx = x\ny\n"


def test_a_part_of_a_line_is_replaced_if_it_stands_once_between_words() -> None:
    applied = done("x + 1", "x + 2")
    assert applied.text == TEXT.replace("x + 1", "x + 2")
    assert applied.how == "part of a line"
    assert refused("econd(a)", "hird(a)")
    assert "lines 1, 6" in refused("(a):", "(b):")


def test_a_missing_end_of_the_last_line_is_as_the_edit_says() -> None:
    assert done("b", "c", "a\nb").text == "a\nc"
    assert done("b\n", "c\n", "a\nb").text == "a\nc"
    assert done("b\n", "c", "a\nb\n").text == "a\nc"


# Several places


def test_a_text_that_stands_twice_is_refused_with_its_lines() -> None:
    assert "stands at lines 2, 7" in refused("    x = 1\n", "    x = 2\n")


def test_the_line_decides_if_it_is_clearly_nearest_to_one_place() -> None:
    second = TEXT[:-30] + TEXT[-30:].replace("x = 1", "x = 2")
    assert done("    x = 1\n", "    x = 2\n", line=7).text == second
    assert "line 4 is not clearly nearest" in refused("    x = 1\n", "    x = 2\n", line=4)
    spread = "a\n" + "-\n" * 100 + "a\n"
    assert done("a\n", "b\n", spread, line=99).text == "a\n" + "-\n" * 100 + "b\n"
    assert refused("a\n", "b\n", spread, line=60)


def test_a_wrong_line_does_not_matter_where_the_text_stands_once() -> None:
    assert done("    return x\n", "    return 3\n", line=500).first == 3


def test_a_place_that_fits_worse_but_is_where_the_line_says_makes_it_unclear() -> None:
    text = "a = 1\n" + "-\n" * 50 + "    a = 1\n"
    assert done("a = 1\n", "a = 2\n", text).first == 1
    assert "lines 1, 52" in refused("a = 1\n", "a = 2\n", text, line=52)


# White space


def test_spaces_at_line_ends_do_not_count_and_those_of_kept_lines_stay() -> None:
    applied = done("a \nb\n", "a \nc\n", "a  \nb\t\n")
    assert applied.text == "a  \nc\n"


def test_another_indentation_is_applied_to_the_new_lines() -> None:
    text = "class A:\n    def f(self):\n        return 1\n"
    applied = done(
        "def f(self):\n    return 1\n", "def f(self):\n    if x:\n        return 2\n", text
    )
    assert applied.text == "class A:\n    def f(self):\n        if x:\n            return 2\n"
    assert applied.how == "the indentation differs"


@pytest.mark.parametrize("unit", ["    ", "  ", "        "])
def test_tabs_stand_for_spaces_and_the_file_keeps_its_own(unit: str) -> None:
    text = "f {\n\tg {\n\t\th\n\t}\n}\n"
    applied = done(
        f"{unit}g {{\n{unit}{unit}h\n", f"{unit}g {{\n{unit}{unit}k {{\n{unit}{unit}{unit}h\n", text
    )
    assert applied.text == "f {\n\tg {\n\t\tk {\n\t\t\th\n\t}\n}\n"
    back = done("\tg {\n\t\th\n", "\tg {\n\t\tk {\n\t\t\th\n", text.replace("\t", unit))
    assert back.text == applied.text.replace("\t", unit)


def test_tabs_for_spaces_are_likelier_than_that_and_another_depth() -> None:
    text = "a(\n    )\n" + "-\n" * 40 + "            )\n"
    assert done("\t)\n", "\t]\n", text).first == 2
    assert "lines 2, 43" in refused("\t)\n", "\t]\n", text, line=43)


def test_a_stripped_first_line_is_indented_as_in_the_file() -> None:
    applied = done("x = 1\n    return x + 1", "x = 2\n    return x + 1")
    assert applied.text == TEXT[:-30] + TEXT[-30:].replace("x = 1", "x = 2")


def test_lines_moved_by_different_columns_are_another_text() -> None:
    assert "not indented like" in refused("def first(a):\n  x = 1\n return x\n", "pass\n")


def test_spaces_of_new_blank_lines_are_as_the_edit_has_them() -> None:
    assert done("b()\n", "b()\n  \nc()\n", "    b()\n").text == "    b()\n  \n    c()\n"


def test_a_new_line_left_of_the_margin_is_refused() -> None:
    text = "if a:\n    b()\n"
    assert "left of the margin" in refused("        b()\n", "  c()\n", text)


def test_spaces_within_lines_do_not_count_but_in_strings_they_do() -> None:
    assert done("f( a,b )\n", "f(a)\n", "f(a,  b)\n").text == "f(a)\n"
    assert refused("f('a  b')\n", "g()\n", "f('a b')\n")
    assert refused("returnx\n", "return y\n", "return x\n")


def test_blank_lines_more_or_less_are_kept_as_they_are_in_the_file() -> None:
    assert done("a\nb\nc\n", "a\nb\nd\n", "a\n\nb\nc\n").text == "a\n\nb\nd\n"
    assert done("a\n\n\nb\nc\n", "a\n\n\nb\nd\n", "a\n\nb\nc\n").text == "a\n\nb\nd\n"


def test_the_files_line_ends_are_kept() -> None:
    applied = done("a\nb\n", "a\nc\nd\n", "a\r\nb\r\ne\r\n")
    assert applied.text == "a\r\nc\r\nd\r\ne\r\n"
    assert done("a\r\nb\r\n", "a\r\nc\r\n", "a\nb\n").text == "a\nc\n"


# Lines that are left out


def test_dots_stand_for_lines_that_are_not_shown() -> None:
    applied = done(
        "def second(a):\n    ...\n    return x + 1\n", "def second(a):\n    ...\n    return 5\n"
    )
    assert applied.text == TEXT.replace("return x + 1", "return 5")


def test_of_several_ends_that_in_the_same_block_is_meant() -> None:
    text = "def f():\n    a\n    b\n    return 1\n\n\ndef g():\n    return 1\n"
    applied = done(
        "def f():\n    # ...\n    return 1\n", "def f():\n    # ...\n    return 2\n", text
    )
    assert applied.text == text.replace("return 1", "return 2", 1)
    twice = "def f():\n    if a:\n        return 1\n    b\n    if c:\n        return 1\n"
    before = "def f():\n    ...\n        return 1\n"
    assert "could end at several" in refused(before, before.replace("1", "2"), twice)


def test_lines_that_are_not_shown_do_not_go() -> None:
    assert "leaves out" in refused(
        "def second(a):\n    ...\n    return x + 1\n", "def second(a):\n"
    )


def test_dots_that_the_file_has_are_dots() -> None:
    text = "class A:\n    ...\n\n\nclass B:\n    x = 1\n"
    assert done("class A:\n    ...\n", "class A:\n    y = 1\n", text).first == 1


# Context that is not quite right


def test_a_context_line_that_is_nearly_right_stays_as_the_file_has_it() -> None:
    text = "def f(a, b):\n    total = a + b\n    log(total)\n    return total\n"
    applied = done(
        "def f(a):\n    total = a + b\n    log(total)\n    return total\n",
        "def f(a):\n    total = a + b\n    return total\n",
        text,
    )
    assert applied.text == text.replace("    log(total)\n", "")
    assert applied.how == "context at line 1 is kept as the file has it"


def test_a_line_that_is_to_go_must_be_the_files() -> None:
    message = refused("def second(a):\n    x = 2\n", "def second(a):\n    x = 3\n")
    assert "line 7 is '    x = 1', your edit has '    x = 2'" in message


def test_a_line_that_the_edit_brings_is_no_stale_context_of_it() -> None:
    old = "History\n-------\n\n1.0.1 (2012-12-17)\n++++++\n"
    new = "History\n-------\n\n1.0.2 (2012-12-17)\n++++++\n- a\n\n1.0.1 (2012-12-17)\n++++++\n"
    assert "applied already" in refused(old, new, new)


def test_the_context_of_another_function_is_no_context() -> None:
    message = refused(
        "def third(a):\n    x = 1\n    return x + 1\n", "def third(a):\n    x = 1\n    return 2\n"
    )
    assert "line 6 is 'def second(a):', your edit has 'def third(a):'" in message


# What cannot be applied


def test_what_is_nowhere_is_said_to_be_nowhere() -> None:
    assert "not even one like 'zzz'" in refused("zzz\n", "y\n")
    assert "are blank" in refused("\n\n\n\n", "x\n")
    assert "changes nothing" in refused("x\n", "x\n")


def test_an_edit_that_is_applied_already_is_recognised() -> None:
    edit = ("    return x + 1\n", "    y = x\n    return y\n")
    assert "at line 8. Was it applied already?" in refused(*edit, done(*edit).text)


def test_a_nearest_place_above_the_file_is_told() -> None:
    assert "Nearest is line 1" in refused("import b\nimport a\n", "import c\n", "import a\nx\n")


def test_lines_are_put_in_at_a_line_and_new_files_only_where_none_is() -> None:
    assert done("", "new\n", "a\nb\n", line=2).text == "a\nnew\nb\n"
    assert done("", "new\n", "a\nb", line=3).text == "a\nb\nnew\n"
    assert done("", "new\n", "a\r\n", line=1).text == "new\r\na\r\n"
    assert done("", "new\n", "").text == "new\n"
    assert "there already" in refused("", "new\n", "a\n")
    assert "none can begin at line 9" in refused("", "new\n", "a\n", line=9)


def test_a_long_edit_of_lines_that_are_all_the_same_ends() -> None:
    same = "x = 1\n" * 3000
    assert "and more" in refused("x = 1\n" * 300, "y\n", same)
    dots = "x = 1\n...\n" * 8
    assert refused(f"{dots}z\n", f"{dots}y\n", same)
    assert done("x = 1\n" * 300, "y\n", same, line=900).first == 900


# Several edits


def test_edits_apply_in_order_and_each_sees_those_before_it() -> None:
    edits = [Edit("a.py", "x\n", "y\n"), Edit("a.py", "y\n", "z\n"), Edit("b/c.py", "", "new\n")]
    patch = apply_all(edits, {"a.py": "x\n"}.get)
    assert patch == Patch({"a.py": "z\n", "b/c.py": "new\n"})


def test_one_edit_that_fails_fails_all_and_each_failing_is_told() -> None:
    edits = [Edit("a.py", "x\n", "y\n"), Edit("a.py", "q\n", "z\n"), Edit("c.py", "r\n", "z\n")]
    with pytest.raises(NoMatch) as caught:
        apply_all(edits, {"a.py": "x\n"}.get)
    assert "Edit 2 of 3: a.py" in str(caught.value)
    assert "Edit 3 of 3: c.py: there is no such file" in str(caught.value)
    assert str(caught.value).endswith("Nothing was changed.")


@pytest.mark.parametrize("path", ["/etc/passwd", "../a.py", "a/../../b", ".git/config", "a//b", ""])
def test_a_path_out_of_the_repository_is_refused_before_it_is_read(path: str) -> None:
    def read(path: str) -> str | None:
        raise AssertionError(f"{path} was read")

    with pytest.raises(UsageError):
        apply_all([Edit(path, "a\n", "b\n")], read)


# For all texts

WORDS = [
    "a = 1",
    "b(c)",
    "if d:",
    "    e",
    "        f = g(h)",
    "\ti",
    "",
    "}",
    "...",
    "# ...",
    "s = 'x  y'",
]
line = st.sampled_from(WORDS)
body = st.lists(line, max_size=14)
ends = st.sampled_from(["\n", "\r\n"])


@st.composite
def changes(draw: st.DrawFn) -> tuple[str, str]:
    """Two texts with equal line ends, the second made from the first by one or two changes."""
    end = draw(ends)
    old = draw(body)
    new = list(old)
    for _ in range(draw(st.integers(1, 2))):
        first = draw(st.integers(0, len(new)))
        last = draw(st.integers(first, min(len(new), first + 3)))
        new[first:last] = draw(st.lists(line, max_size=3))
    final = [draw(st.booleans()) for _ in "ab"]
    texts = [
        end.join(side) + end * (keep and bool(side))
        for side, keep in zip((old, new), final, strict=True)
    ]
    return texts[0], texts[1]


@settings(max_examples=500, deadline=None)
@given(changes())
def test_edits_made_from_two_texts_give_the_second(texts: tuple[str, str]) -> None:
    old, new = texts
    assume(old != new)
    hunks_of = parse_diff(Patch({"a": new}).diff({"a": old}))[0].hunks
    made, shift = old, 0
    for hunk in hunks_of:
        # A diff's hunks know their lines; only a hunk that stands alone may do without.
        edit = Edit("a", "".join(hunk.old), "".join(hunk.new), hunk.start + shift + 1)
        assume(edit.before or old)
        made = apply(edit, made).text
        shift += len(hunk.new) - len(hunk.old)
    assert made == new


@settings(max_examples=300, deadline=None)
@given(changes())
def test_a_diff_of_two_texts_gives_the_second(texts: tuple[str, str]) -> None:
    old, new = texts
    assume(old and old != new and "\r" not in old + new)
    diff = Patch({"a.py": new}).diff({"a.py": old})
    assert apply_all(hunks.parse(diff), {"a.py": old}.get).files == {"a.py": new}


@settings(max_examples=500, deadline=None)
@given(body, body, body, st.integers(0, 20))
def test_an_edit_changes_only_what_it_found_or_nothing(
    file: list[str], before: list[str], after: list[str], number: int
) -> None:
    text = "".join(f"{one}\n" for one in file)
    edit = Edit(
        "a", "".join(f"{one}\n" for one in before), "".join(f"{one}\n" for one in after), number
    )
    try:
        applied = apply(edit, text)
    except NoMatch:
        return
    made, old = lines(applied.text), lines(text)
    above = applied.first - 1
    below = len(made) - applied.last
    assert made[:above] == old[:above]
    assert below == 0 or made[-below:] == old[-below:]
    gone = [one.strip() for one in old[above : len(old) - below] if one.strip()]
    asked = [one.strip() for one in before if one.strip()]
    if not any(alike.is_elided(one) for one in before):
        same = [alike.spaced(one) for one in gone]
        assert len(same) == len(asked)
        assert applied.how.startswith("context") or same == list(map(alike.spaced, asked))


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.integers(0, 3), min_size=3, max_size=8, unique=False),
    st.data(),
)
def test_drift_of_white_space_gives_the_second_text_all_the_same(
    depths: list[int], data: st.DataObject
) -> None:
    """Each line is another, so that there is one place; the drift is of the edit alone."""
    file = [f"{'    ' * deep}name{n} = f(a, {n})" for n, deep in enumerate(depths)]
    first = data.draw(st.integers(0, len(file) - 2))
    last = data.draw(st.integers(first + 1, len(file)))
    at = data.draw(st.integers(first, last - 1))
    deeper = f"{'    ' * (depths[at] + 1)}new = 1"
    new = [*file[:at], file[at], deeper, *file[at + 1 :]]
    drift = data.draw(st.sampled_from(["tabs", "shift", "ends", "crlf", "blank"]))

    def drifted(one: str) -> str:
        if drift == "tabs":
            return one.replace("    ", "\t")
        if drift == "shift":
            return "  " + one
        return one + {"ends": "  ", "crlf": "\r", "blank": "\n"}[drift]

    before = "".join(f"{drifted(one)}\n" for one in file[first:last])
    after = "".join(
        f"{drifted(one)}\n" for one in [*file[first : at + 1], deeper, *file[at + 1 : last]]
    )
    applied = apply(Edit("a", before, after), "".join(f"{one}\n" for one in file))
    # Where no line of the edit tells how the file is indented, its own tabs stay.
    made = [one.rstrip().expandtabs(4) for one in applied.text.split("\n") if one.strip()]
    assert made == new


def test_blank_lines_below_dots_are_the_files_own() -> None:
    old = "def f():\n    a = 1\n    ...\n\n# output\nb\nc\n"
    before, below = "def f():\n    ...\n\n", "# output\nb\nc\n"
    edit = Edit("a.py", before + below, f"{before}d\n\n{below}")
    assert apply(edit, old).text == old.replace("# output", "d\n\n# output")
