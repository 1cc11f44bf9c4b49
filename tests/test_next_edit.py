"""What a change implies within one file: found where it is sure, and nothing where it is not."""

from pathlib import Path

import pytest

from completion.document import Document
from completion.next_edit import Asked, NextEdit, NextEdits, filled
from completion.next_edit.proposal import one_value

FILE = Path("/nowhere/file")
PAUSE_S = 5.0


class Typist:
    """One document, changed key by key, and the next edits that are taken in it."""

    def __init__(self, text: str, language: str = "python") -> None:
        self.text = text
        self.cursor = 0
        self._language = language
        self._now = 0.0
        self._edits = NextEdits()

    def pause(self) -> None:
        self._now += PAUSE_S

    def change(self, start: int, end: int, new: str) -> None:
        before = self.text
        self._now += 0.1
        self._edits.before_change(FILE, self._language, lambda: before, self._now)
        self.text = before[:start] + new + before[end:]
        self.cursor = start + len(new)

    def type(self, old: str, new: str, after: str = "") -> None:
        """Replace `old`, the first behind `after`, letter by letter."""
        at = self.text.index(old, self.text.index(after))
        for size in range(len(old), 0, -1):
            self.change(at + size - 1, at + size, "")
        for number, letter in enumerate(new):
            self.change(at + number, at + number, letter)

    def ask(self) -> Asked:
        document = Document(FILE, self._language, self.text)
        asked = self._edits.ask(document, self.cursor, None, lambda _: None)
        for edit in asked.edits:
            assert self.text[edit.offset : edit.offset + len(edit.old)] == edit.old
            lines = self.text.split("\n")
            row, column = edit.start
            assert sum(len(line) + 1 for line in lines[:row]) + column == edit.offset
            assert lines[row][:column] == edit.before
        return asked

    def take(self, edit: NextEdit, value: str = "") -> None:
        new = edit.new
        if edit.hole is not None:
            new = new[: edit.hole] + value + new[edit.hole :]
        self.pause()
        self.change(edit.offset, edit.offset + len(edit.old), new)

    def take_all(self, value: str = "") -> str:
        """Take the next edit until there is none. Returns the text."""
        for _ in range(100):
            asked = self.ask()
            if not asked.edits:
                return self.text
            self.take(asked.edits[0], value)
        raise AssertionError("it never ends")


def after(text: str, old: str, new: str, where: str = "", language: str = "python") -> str:
    """The text after a change and all that it implies."""
    typist = Typist(text, language)
    typist.type(old, new, where)
    return typist.take_all("VALUE")


def refusal(text: str, old: str, new: str, where: str = "", language: str = "python") -> str:
    typist = Typist(text, language)
    typist.type(old, new, where)
    asked = typist.ask()
    assert asked.edits == ()
    return asked.reason


# Names

FUNCTION = '''def total(rows, limit=1):
    """Add up.

    :param rows: what to add up, in rows
    """
    # rows are numbers
    name = "rows"

    def inner(rows):
        return rows

    return [rows for _ in rows], lambda rows: rows, rows.rows


total(rows=1)
other(rows=1)
rows = total(2)
'''


def test_a_renamed_parameter_is_followed_in_its_body_its_docstring_and_calls_by_name() -> None:
    assert (
        after(FUNCTION, "rows", "items")
        == '''def total(items, limit=1):
    """Add up.

    :param items: what to add up, in rows
    """
    # rows are numbers
    name = "rows"

    def inner(rows):
        return rows

    return [items for _ in items], lambda rows: rows, items.rows


total(items=1)
other(rows=1)
rows = total(2)
'''
    )


def test_the_next_edit_is_the_nearest_below_the_cursor_then_from_the_top() -> None:
    typist = Typist("def f(a):\n    a\n    a\n    a\n")
    typist.type("a", "b", "(")
    assert [edit.start[0] for edit in typist.ask().edits] == [1, 2, 3]
    typist.cursor = typist.text.index("a\n    a\n") + 4
    assert [edit.start[0] for edit in typist.ask().edits] == [2, 3, 1]


def test_a_pause_in_the_middle_of_a_name_does_not_lose_the_old_one() -> None:
    typist = Typist("def f(total):\n    return total\n")
    typist.type("total", "cou")
    typist.pause()
    at = typist.text.index("cou") + 3
    typist.change(at, at, "n")
    typist.change(at + 1, at + 1, "t")
    assert typist.take_all() == "def f(count):\n    return count\n"


def test_a_change_taken_back_implies_nothing() -> None:
    typist = Typist("def f(total):\n    return total\n")
    typist.type("total", "count")
    assert typist.ask().edits
    typist.type("count", "total")
    assert typist.ask() == Asked()


def test_an_edit_passed_over_and_made_by_hand_is_not_offered_again() -> None:
    typist = Typist("def f(aa):\n    aa\n    aa\n")
    typist.type("aa", "bb")
    typist.pause()
    typist.type("aa", "bb", "\n")
    [edit] = typist.ask().edits
    assert edit.start == (2, 4)


@pytest.mark.parametrize(
    ("text", "old", "new"),
    [
        ("def f():\n    a = 1\n    a += 1\n    print(a)\n\n\na = 2\n", "a = 1", "b = 1"),
        ("import numpy as np\n\nnp.zeros(np.one)\n", "np", "n"),
        ("class A:\n    pass\n\n\nclass B(A):\n    x: A = A()\n", "A", "Base"),
        ("from m import one\n\n\ndef f(x: one) -> one: ...\n", "one", "two"),
        ("try:\n    pass\nexcept E as error:\n    print(error)\n", "error", "e"),
        ("with open(p) as file:\n    file.read()\n", "file", "f"),
        ("for i, j in x:\n    print(i)\n", "i", "k"),
        ("x = 1\n\n\ndef f():\n    global x\n    x = 2\n", "x", "y"),
        ("def f():\n    n = 1\n\n    def g():\n        nonlocal n\n        n = 2\n", "n", "m"),
        ("def f(x):\n    return f'{x}' '{x}'\n", "x", "y"),
    ],
)
def test_a_definition_of_any_kind_is_followed(text: str, old: str, new: str) -> None:
    where = {"np": "as np", "error": "as", "file": "as", "i": "for ", "n": "n = 1", "x": "x"}
    done = after(text, old, new, where.get(old, ""))
    namespace = old.partition(" ")[0]
    assert done != text
    for line in done.split("\n"):
        if "global" in line or "nonlocal" in line:
            assert new.partition(" ")[0] in line
    compile(done, "file", "exec")
    left = Typist(done)
    assert left.ask() == Asked()
    assert done.count(namespace) < text.count(namespace)


def test_a_name_in_another_scope_stays() -> None:
    text = "def f(a):\n    return a\n\n\ndef g(a):\n    return a\n"
    assert after(text, "a", "b", "(") == text.replace("f(a):\n    return a", "f(b):\n    return b")


def test_a_class_s_names_are_not_seen_in_its_methods() -> None:
    text = "x = 1\n\n\nclass A:\n    x = 2\n\n    def f(self):\n        return x\n"
    assert after(text, "x", "y") == text.replace("x = 1", "y = 1").replace("return x", "return y")


@pytest.mark.parametrize(
    ("text", "old", "where", "reason"),
    [
        ("def f(a):\n    a = 1\n    return a\n", "a", "    ", "the old name is still defined"),
        ("def f(a):\n    return a\n", "a", "return", "the old name is still defined"),
        ("def f(a, b):\n    return a, b\n", "a", "(", "the new name means something else there"),
        (
            "def f(a):\n    return [a for b in a]\n",
            "a",
            "(",
            "the new name means something else there",
        ),
        ("def f(a):\n    return locals(), a\n", "a", "(", "the name also stands where its"),
        ("def f(a):\n    return (a\n", "a", "(", "the code around it does not parse"),
        ("def f(a):\n    return 1\n", "a", "(", "no other place is left"),
    ],
)
def test_where_it_is_not_sure_nothing_is_proposed_and_the_reason_is_told(
    text: str, old: str, where: str, reason: str
) -> None:
    assert refusal(text, old, "b", where).startswith(reason)


def test_a_new_name_typed_since_at_a_use_does_not_stop_the_rest() -> None:
    typist = Typist("def f(aa):\n    print(aa)\n    return 1\n")
    typist.type("aa", "bb")
    typist.pause()
    typist.type("1", "bb + 1", "return")
    assert typist.take_all() == "def f(bb):\n    print(bb)\n    return bb + 1\n"


# Attributes

CLASS = """class Shelf:
    size = 1

    def __init__(self, items):
        self.items = items

    def add(self, item):
        self.items.append(item)
        other.items = self.size

    @staticmethod
    def of(self):
        return self.items


class Tall(Shelf):
    def first(self):
        return self.items[0], self.add(1)


class Other:
    def __init__(self):
        self.items = 2
        self.add()
"""


def test_a_renamed_attribute_is_followed_in_its_class_and_those_below_only() -> None:
    expected = CLASS.replace("self.items = items", "self.rows = items")
    expected = expected.replace("self.items.append", "self.rows.append")
    expected = expected.replace("self.items[0]", "self.rows[0]")
    assert after(CLASS, "items", "rows", "self.items") == expected


def test_a_renamed_method_is_followed_through_self() -> None:
    expected = CLASS.replace("def add", "def put").replace("self.add(1)", "self.put(1)")
    assert after(CLASS, "add", "put") == expected


def test_a_class_variable_is_followed() -> None:
    assert after(CLASS, "size", "width") == CLASS.replace("size", "width")


def test_a_dataclass_s_field_is_an_argument_of_its_calls() -> None:
    text = "@dataclass\nclass P:\n    x: int\n\n\nP(x=1)\nQ(x=1)\n"
    assert after(text, "x", "y") == text.replace("x: int", "y: int").replace("P(x=", "P(y=")


def test_an_override_is_not_renamed() -> None:
    text = (
        "class A:\n    def go(self): ...\n\n\nclass B(A):\n    def go(self):\n        self.go()\n"
    )
    assert refusal(text, "go", "run", "class B") == "a base class defines the name"


# Parameters

CALLS = """def draw(x, y, *, color=None):
    pass


draw(1, 2)
draw(1, y=2)
draw(*point)
draw(
    1,
    2,
)
other.draw(1, 2)
"""


def test_a_new_required_parameter_is_asked_for_at_each_call() -> None:
    expected = CALLS.replace("draw(x, y,", "draw(x, y, z,").replace(
        "\ndraw(1, 2)", "\ndraw(1, 2, V)"
    )
    expected = expected.replace("draw(1, y=2)", "draw(1, y=2, z=V)")
    expected = expected.replace("    2,\n", "    2,\n    V,\n")
    typist = Typist(CALLS)
    typist.type("y,", "y, z,")
    assert [edit.mechanical for edit in typist.ask().edits] == [False, False, False]
    assert typist.take_all("V") == expected


def test_a_new_parameter_in_front_is_put_in_front_at_calls() -> None:
    done = after("def f(a):\n    pass\n\n\nf(1)\nf()\n", "(a", "(z, a")
    assert done == "def f(z, a):\n    pass\n\n\nf(VALUE, 1)\nf(VALUE)\n"


def test_a_new_parameter_with_a_default_asks_nothing_of_calls() -> None:
    assert refusal(CALLS, "y,", "y, z=1,") == "calls need not give the parameter"


def test_a_changed_default_asks_nothing_of_calls() -> None:
    assert refusal(CALLS, "None", "1") == "calls need not give the parameter"


def test_a_removed_parameter_is_taken_from_the_calls() -> None:
    done = after(CALLS, "x, ", "")
    expected = CALLS.replace("def draw(x, ", "def draw(").replace("\ndraw(1, 2)", "\ndraw(2)")
    expected = expected.replace("draw(1, y=2)", "draw(y=2)").replace("    1,\n    2,", "    2,")
    assert done == expected


def test_parameters_in_another_order_turn_the_arguments_round() -> None:
    done = after("def f(a, b):\n    pass\n\n\nf(1, g(2))\nf(1, b=2)\n", "a, b", "b, a")
    assert done == "def f(b, a):\n    pass\n\n\nf(g(2), 1)\nf(1, b=2)\n"


def test_a_method_s_calls_are_those_on_its_own_object_and_its_class_s_constructor() -> None:
    text = (
        "class A:\n    def __init__(self, a):\n        self.go(1)\n\n"
        "    def go(self, b):\n        other.go(1)\n\n\nA(1)\n"
    )
    assert after(text, "b", "b, c") == text.replace("self.go(1)", "self.go(1, VALUE)").replace(
        "self, b", "self, b, c"
    )
    done = after(text, "a)", "a, z)")
    assert done == text.replace("self, a)", "self, a, z)").replace("A(1)", "A(1, VALUE)")


async def test_a_value_is_the_model_s_else_the_variable_in_scope_else_none() -> None:
    typist = Typist("def f(a):\n    pass\n\n\ncolor = 1\nf(1)\n")
    typist.type("a", "a, color", "(")
    [edit] = typist.ask().edits
    document = Document(FILE, "python", typist.text)

    async def model(asked: Document, offset: int) -> str:
        assert asked.text[:offset].endswith("f(1, ")
        assert asked.text[offset:] == ")\n"
        return "shade(2)) + f("

    async def silent(asked: Document, offset: int) -> str:
        return ""

    by_model = await filled(edit, document, model)
    by_scope = await filled(edit, document, silent)
    assert by_model is not None
    assert by_model.new == ", shade(2)"
    assert by_scope is not None
    assert by_scope.new == ", color"
    typist = Typist("def f(a):\n    pass\n\n\nf(1)\n")
    typist.type("a", "a, color", "(")
    [edit] = typist.ask().edits
    assert await filled(edit, Document(FILE, "python", typist.text), silent) is None


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        ("x", "x"),
        ("f(1, 2), 3", "f(1, 2)"),
        ('"a, b")', '"a, b"'),
        ("[1,\n2]", ""),
        ("f(", ""),
        (")", ""),
        ("x" * 81, ""),
    ],
)
def test_one_value_is_the_first_argument_of_an_answer(answer: str, value: str) -> None:
    assert one_value(answer) == value


# Keys

KEYS = """def f(other):
    row = {"name": 1, "size": 2}
    print(row["name"], row.get("name"), other["name"], "name")
    {"name": 3}
"""


def test_a_renamed_key_is_followed_where_the_same_dictionary_is_read() -> None:
    expected = KEYS.replace('{"name": 1', '{"title": 1').replace('row["name"]', 'row["title"]')
    assert after(KEYS, "name", "title") == expected.replace('get("name")', 'get("title")')


def test_a_key_that_is_only_read_may_be_another_one() -> None:
    assert refusal(KEYS, "name", "title", "row[") == "the old name is still defined"
    assert refusal(KEYS, "name", "title", "other[") == "the name is not defined in this file"


# Repetition

ROWS = """a = load(1, old)
b = load(2, old)
c = load(3, old)

d = load(4, old)
print(old, "nothing like the others", 5)
"""


def test_the_third_of_two_equal_edits_is_offered_on_lines_that_are_alike() -> None:
    typist = Typist(ROWS)
    typist.type("old", "new")
    assert typist.ask().edits == ()
    typist.pause()
    typist.type("old", "new")
    done = typist.take_all()
    assert done == ROWS.replace(", old)\n", ", new)\n")


def test_a_line_passed_over_ends_the_pattern() -> None:
    typist = Typist(ROWS)
    typist.type("old", "new")
    typist.pause()
    typist.type("old", "new", "c = ")
    assert typist.ask().edits == ()


def test_an_argument_put_in_twice_is_offered_for_the_rest() -> None:
    typist = Typist(ROWS)
    typist.type("old)", "old, k=1)")
    typist.pause()
    typist.type("old)", "old, k=1)")
    assert typist.take_all() == ROWS.replace("old)\n", "old, k=1)\n")


def test_the_same_name_of_another_scope_is_no_repetition() -> None:
    one = "def f{}(cid):\n    print(cid)\n"
    typist = Typist(one.format(1) + one.format(2))
    typist.type("cid", "key")
    assert typist.take_all() == one.format(1).replace("cid", "key") + one.format(2)


# Other languages


def test_javascript_properties_in_shorthand_keep_their_key() -> None:
    text = "function f(a, b) {\n  { let a = 1; a }\n  return {a, b: a, x: x.a}\n}\n"
    expected = text.replace("f(a", "f(c").replace("{a, b: a,", "{a: c, b: c,")
    assert after(text, "a", "c", "(", "javascript") == expected


def test_javascript_hoists_var_out_of_blocks() -> None:
    text = "function f() {\n  for (var i = 0; i < 2; i++) {}\n  return i\n}\nvar i\n"
    expected = text.replace("var i = 0; i < 2; i++", "var k = 0; k < 2; k++")
    assert after(text, "i", "k", "var", "javascript") == expected.replace("return i", "return k")


def test_typescript_types_and_parameters() -> None:
    text = "class A {}\nfunction f(x: A, y: A = new A()) { return x }\ntype T = { A: A }\n"
    assert after(text, "A", "B", "class", "typescript") == (
        "class B {}\nfunction f(x: B, y: B = new B()) { return x }\ntype T = { A: B }\n"
    )
    assert after(text, "x", "z", "(", "typescript") == text.replace("(x", "(z").replace(
        "return x", "return z"
    )


def test_typescript_constructor_parameters_that_are_fields_are_left_alone() -> None:
    text = "class A { constructor(private p: number) { p } }\n"
    assert refusal(text, "p:", "q:", "private", "typescript")


def test_go_sees_an_inner_variable_only_after_its_statement() -> None:
    text = (
        "package m\n\nfunc f(n int) int {\n\tif n > 1 {\n\t\tn := n + 1\n\t\treturn n\n\t}\n"
        "\treturn n + s.n\n}\n"
    )
    expected = (
        "package m\n\nfunc f(k int) int {\n\tif k > 1 {\n\t\tn := k + 1\n\t\treturn n\n\t}\n"
        "\treturn k + s.n\n}\n"
    )
    assert after(text, "n", "k", "f(", "go") == expected


def test_rust_shadowing_makes_another_variable() -> None:
    text = "fn f(x: i32) -> i32 {\n    let y = x;\n    let x = x + 1;\n    P { x }.x + x + y\n}\n"
    expected = (
        "fn f(z: i32) -> i32 {\n    let y = z;\n    let x = z + 1;\n    P { x }.x + x + y\n}\n"
    )
    assert after(text, "x", "z", "(", "rust") == expected
    assert after(text, "x", "z", "let x", "rust") == text.replace("let x", "let z").replace(
        "P { x }.x + x", "P { x: z }.x + z"
    )


def test_a_new_parameter_reaches_calls_in_javascript_and_go() -> None:
    text = "function f(a) { return a }\nf(1)\nx.f(1)\n"
    assert after(text, "a", "a, b", "(", "javascript") == text.replace("f(a)", "f(a, b)").replace(
        "\nf(1)", "\nf(1, VALUE)"
    )
    go = "package m\n\nfunc f(a int) int { return a }\n\nvar x = f(1)\n"
    assert after(go, "int)", "int, b int)", "", "go") == go.replace(
        "(a int)", "(a int, b int)"
    ).replace("f(1)", "f(1, VALUE)")


# Odd texts


def test_positions_count_characters_whatever_stands_before() -> None:
    text = "def f(ä):\n    return '😀', ä\n"
    assert after(text, "ä", "öß") == text.replace("ä", "öß")


def test_a_paste_of_many_lines_is_no_change_of_ours() -> None:
    typist = Typist("def f(a):\n    return a\n")
    typist.change(0, 0, "x = 1\n" * 1000)
    typist.type("a", "b", "(")
    assert typist.ask().edits == ()


def test_plain_text_and_empty_documents_have_no_next_edit() -> None:
    assert Typist("", "python").ask() == Asked()
    typist = Typist("a b a\n", "plaintext")
    typist.type("a", "c")
    assert typist.ask() == Asked()


def test_a_closed_document_is_forgotten() -> None:
    typist = Typist("def f(a):\n    return a\n")
    typist.type("a", "b", "(")
    assert typist.ask().edits
    typist._edits.closed(FILE)
    assert typist.ask() == Asked()


def test_a_secret_file_is_never_kept_nor_changed() -> None:
    edits, path = NextEdits(), Path("/nowhere/.env")
    asked: list[str] = []
    edits.before_change(path, "python", lambda: asked.append("read") or "a = 1\na\n", 0.0)
    assert asked == []
    assert edits.ask(Document(path, "python", "b = 1\na\n"), 0, None, lambda _: None) == Asked()
