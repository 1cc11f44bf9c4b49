"""What a chat model writes is read as edits, or refused in one line that says what is wrong."""

import json

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sandbox.edits import Edit, called, parse
from sandbox.patch import Patch
from tandem.errors import UsageError

BLOCK = """\
<<<<<<< SEARCH
x = 1
=======
x = 2
>>>>>>> REPLACE
"""
EDIT = Edit("src/a.py", "x = 1\n", "x = 2\n")
DIFF = """\
--- a/src/a.py
+++ b/src/a.py
@@ -7,3 +7,3 @@ def f():
 a
-x = 1
+x = 2
"""


def wrong(text: str) -> str:
    with pytest.raises(UsageError) as caught:
        parse(text)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2
    return str(caught.value)


# Blocks


@pytest.mark.parametrize(
    "above",
    [
        "src/a.py\n",
        "src/a.py\n```python\n",
        "```python\nsrc/a.py\n",
        "```python src/a.py\n",
        "### `src/a.py`\n\n```\n",
        "**src/a.py**:\n```\n",
        "File: src/a.py\n```\n",
        "Now the fix.\n\n./src/a.py\n",
    ],
)
def test_a_blocks_path_stands_above_it(above: str) -> None:
    closing = "```\n" if "```" in above else ""
    assert parse(f"{above}{BLOCK}{closing}\nThat is all.\n") == [EDIT]


@pytest.mark.parametrize("name", ["path.go", "file.txt", ".github/x.yml", "a-b.py", "Makefile"])
def test_names_that_look_like_words_are_names(name: str) -> None:
    assert parse(f"`{name}`\n{BLOCK}")[0].path == name


def test_a_block_without_a_path_is_in_the_file_of_the_one_above() -> None:
    second = BLOCK.replace("x", "y")
    assert [edit.path for edit in parse(f"a.py\n{BLOCK}\nand then\n\n{second}")] == ["a.py", "a.py"]
    assert [edit.path for edit in parse(f"a.py\n{BLOCK}b.py\n{second}")] == ["a.py", "b.py"]


def test_an_empty_search_makes_a_file() -> None:
    text = "new.py\n<<<<<<< SEARCH\n=======\na\n\nb\n>>>>>>> REPLACE\n"
    assert parse(text) == [Edit("new.py", "", "a\n\nb\n")]


def test_an_empty_replacement_removes_lines() -> None:
    text = "a.py\n<<<<<<< SEARCH\nx\n=======\n>>>>>>> REPLACE\n"
    assert parse(text) == [Edit("a.py", "x\n", "")]


def test_a_headings_underline_of_another_length_divides_nothing() -> None:
    text = "a.rst\n<<<<<<< SEARCH\nTitle\n=====\n=======\nTitles\n======\n>>>>>>> REPLACE\n"
    assert parse(text) == [Edit("a.rst", "Title\n=====\n", "Titles\n======\n")]
    assert "second =======" in wrong(text.replace("\n=====\n", "\n=======\n"))


def test_line_ends_of_an_answer_are_those_of_its_lines() -> None:
    assert parse(f"src/a.py\n{BLOCK}".replace("\n", "\r\n")) == [
        Edit("src/a.py", "x = 1\r\n", "x = 2\r\n")
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BLOCK, "Line 1 of the answer, '<<<<<<< SEARCH': the block has no path"),
        ("a.py\n<<<<<<< SEARCH\nx\n", "Line 2 of the answer, '<<<<<<< SEARCH': the block that"),
        ("a.py\n<<<<<<< SEARCH\nx\n=======\ny\n", "has no >>>>>>> REPLACE"),
        (f"a.py\n<<<<<<< SEARCH\nx\n=======\ny\n{BLOCK}", "has no >>>>>>> REPLACE"),
        ("a.py\nx\n>>>>>>> REPLACE\n", "a block ends here that has no <<<<<<< SEARCH"),
        ("a.py\n" + BLOCK.replace("x = 2", "x = 1"), "the block changes nothing"),
        ("I am sorry, I cannot do that.", "The answer has no edit."),
        ("", "The answer has no edit."),
    ],
)
def test_a_broken_block_is_refused(text: str, said: str) -> None:
    assert said in wrong(text)


# Diffs


@pytest.mark.parametrize("around", ["{}", "```diff\n{}```\n", "So:\n\n{}\nThat is all.\n"])
def test_a_diff_is_read_whatever_its_counts(around: str) -> None:
    edit = Edit("src/a.py", "a\nx = 1\n", "a\nx = 2\n", 7)
    counted = DIFF.replace("-7,3 +7,3", "-7,2 +7,2")
    assert parse(around.format(counted)) == [edit]
    if "That is all" not in around:
        assert parse(around.format(DIFF)) == [edit]
        assert parse(around.format(DIFF.replace("-7,3 +7,3", "-7 +7,99"))) == [edit]


@pytest.mark.parametrize("head", ["@@ ... @@", "@@ @@", "@@"])
def test_a_hunk_may_have_no_line_numbers(head: str) -> None:
    text = DIFF.replace("@@ -7,3 +7,3 @@ def f():", head)
    assert parse(text) == [Edit("src/a.py", "a\nx = 1\n", "a\nx = 2\n")]


def test_an_empty_line_in_a_hunk_is_blank_context() -> None:
    assert parse(DIFF.replace(" a\n", " a\n\n"))[0].before == "a\n\nx = 1\n"


def test_several_hunks_and_files_are_several_edits() -> None:
    more = "@@ -20 +20 @@\n-y\n+z\n"
    other = DIFF.replace("src/a.py", "b.py")
    edits = parse(f"diff --git a/src/a.py b/src/a.py\nindex 1..2 100644\n{DIFF}{more}{other}")
    assert [(edit.path, edit.line) for edit in edits] == [
        ("src/a.py", 7),
        ("src/a.py", 20),
        ("b.py", 7),
    ]


def test_lines_that_look_like_a_files_head_may_go() -> None:
    text = DIFF.replace("-x = 1\n+x = 2\n", "--- x\n+++ y\n")
    assert parse(text) == [Edit("src/a.py", "a\n-- x\n", "a\n++ y\n", 7)]


def test_new_files_and_insertions_have_no_old_lines() -> None:
    assert parse("--- /dev/null\n+++ b/n.py\n@@ -0,0 +1 @@\n+a\n") == [Edit("n.py", "", "a\n")]
    assert parse("--- a/n.py\n+++ b/n.py\n@@ -4,0 +5 @@\n+a\n") == [Edit("n.py", "", "a\n", 5)]


def test_a_missing_last_line_end_is_read() -> None:
    text = "--- a\n+++ a\n@@ -1 +1 @@\n-x\n\\ No newline at end of file\n+y\n"
    assert parse(text) == [Edit("a", "x", "y\n", 1)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (DIFF.replace("--- a/src/a.py\n+++ b/src/a.py\n", ""), "has no --- and +++ lines"),
        (DIFF.replace("b/src/a.py", "/dev/null"), "cannot remove a file"),
        (DIFF.replace("b/src/a.py", "b/src/b.py"), "cannot rename a file"),
        (f"{DIFF}bad\n", "Line 7 of the answer, 'bad': a hunk's line begins"),
        (DIFF.replace("-x = 1\n+x = 2\n", ""), "the hunk changes nothing"),
        (DIFF.replace("@@ -7,3", "@@ -7,b"), "it is no hunk's header"),
        ("--- a\n+++ a\n@@ @@\n+x\n", "neither old lines nor a line number"),
        ("--- /dev/null\n+++ b/a\n@@ -0,0 +1 @@\n-x\n+y\n", "a new file has no old lines"),
        (f"rename from a\nrename to b\n{DIFF}", "only the text of files"),
    ],
)
def test_a_broken_diff_is_refused(text: str, said: str) -> None:
    assert said in wrong(text)


# Calls


def test_a_calls_arguments_are_an_edit() -> None:
    call = {"path": "src/a.py", "before": "x = 1\n", "after": "x = 2\n"}
    assert called(call) == EDIT
    assert called({**call, "line": 7}).line == 7
    assert called({**call, "line": None}).line == 0
    assert parse(json.dumps(call)) == [EDIT]
    assert (
        parse(json.dumps([call, call])) == parse(json.dumps({"edits": [call, call]})) == [EDIT] * 2
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "'path' is missing"),
        ({"path": 3}, "'path' must be text"),
        ({"path": "a", "before": "x"}, "'after' is missing"),
        ({"path": "a", "before": "x", "after": None}, "'after' must be text"),
        ({"path": "a", "before": "x", "after": "y", "line": "7"}, "a whole number"),
        ({"path": "a", "before": "x", "after": "y", "line": True}, "a whole number"),
        ({"path": "a", "before": "x", "after": "y", "line": -1}, "a whole number"),
        ({"path": "a", "before": "x", "after": "y", "lines": 7}, "has no 'lines'"),
        ({"path": "a", "before": "x", "after": "x"}, "changes nothing"),
    ],
)
def test_a_broken_call_is_refused(arguments: dict[str, object], said: str) -> None:
    assert said in wrong(json.dumps(arguments))


@pytest.mark.parametrize("text", ['{"path": "a', "[]", "[1]", "{]", "[" * 50_000])
def test_what_is_no_json_is_refused_in_one_line(text: str) -> None:
    assert "The edit" in wrong(text) or "An edit" in wrong(text)


# For all texts


@settings(max_examples=300, deadline=None)
@given(
    st.text(st.sampled_from("<>=-+@ `\n\\ab/.{[\r") | st.sampled_from(BLOCK + DIFF), max_size=120)
)
def test_any_answer_is_read_or_refused_in_one_line(text: str) -> None:
    try:
        edits = parse(text)
    except UsageError as error:
        lines = str(error).count("\n")
    else:
        lines = 0
        assert edits
        assert all(edit.path and edit.before != edit.after for edit in edits)
    assert lines == 0


@settings(max_examples=200, deadline=None)
@given(*[st.lists(st.sampled_from(["a", "  b", "", "=====", "- c", "@@ d"]), max_size=6)] * 2)
def test_a_block_has_the_lines_that_were_written(before: list[str], after: list[str]) -> None:
    assume(before != after)
    old, new = ("".join(f"{line}\n" for line in side) for side in (before, after))
    text = f"a.py\n<<<<<<< SEARCH\n{old}=======\n{new}>>>>>>> REPLACE\n"
    assert parse(text) == [Edit("a.py", old, new)]


@settings(max_examples=200, deadline=None)
@given(*[st.lists(st.sampled_from(["a", "  b", "", "-- c", "++ d", "@@ e"]), max_size=6)] * 2)
def test_a_diff_has_the_lines_that_were_written(before: list[str], after: list[str]) -> None:
    assume(before != after and before)
    old, new = ("".join(f"{line}\n" for line in side) for side in (before, after))
    edits = parse(Patch({"a.py": new}).diff({"a.py": old}))
    # The lines are few enough for one hunk, but it need not have all of them.
    assert len(edits) == 1
    assert edits[0].before in old
    assert old.replace(edits[0].before, edits[0].after, 1) == new or old.count(edits[0].before) > 1
