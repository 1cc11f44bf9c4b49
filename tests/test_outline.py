"""What files define and import, in every language.

Each file of `tests/languages` has its outline beside it in `outlines/`: read both.
"""

import ast
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from completion import syntax
from completion.document import language_of
from completion.imports import imports_of
from completion.languages import ROWS
from completion.outline import (
    LONGEST_SIGNATURE,
    Import,
    Outline,
    enclosing,
    outline,
    outline_of,
)
from tests.holes import modules

SAMPLES = Path(__file__).parent / "languages"
FILES = sorted(path for path in SAMPLES.iterdir() if path.is_file())


def told(path: Path) -> str:
    """An outline in lines: kind, qualified name, rows, signature, sentence; then the imports."""
    found = outline(path.read_bytes(), language_of(path))
    lines = [
        f"{one.kind} {one.qualified} {one.first}-{one.last}{' local' if one.local else ''}"
        f" | {one.signature} | {one.doc}".rstrip(" |")
        for one in found.symbols
    ]
    lines += [
        f"import {one.module} | {one.name} | {one.alias} | {one.row}" for one in found.imports
    ]
    return "\n".join(lines) + "\n"


def names(code: str, language: str) -> list[str]:
    return [f"{one.kind} {one.qualified}" for one in outline(code.encode(), language).symbols]


def imports(code: str, language: str) -> list[tuple[str, str, str]]:
    found = outline(code.encode(), language).imports
    return [(one.module, one.name, one.alias) for one in found]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_outline_of_a_file_is_the_one_beside_it(path: Path) -> None:
    assert told(path) == (SAMPLES / "outlines" / f"{path.name}.txt").read_text("utf-8")


def test_every_language_has_a_sample_and_every_query_file_a_language() -> None:
    assert {language_of(path) for path in FILES} == set(ROWS)
    files = {file.name for file in (resources.files("completion") / "queries").iterdir()}
    assert {f"{name}.scm" for row in ROWS.values() for name in row.queries} == files


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_samples_have_no_syntax_error(path: Path) -> None:
    root = syntax.parse_bytes(path.read_bytes(), language_of(path))
    assert root
    assert not root.has_error


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_imports_alone_are_those_of_the_outline(path: Path) -> None:
    data, language = path.read_bytes(), language_of(path)
    root = syntax.parse_bytes(data, language)
    assert root
    assert imports_of(root, data, language) == outline_of(root, data, language).imports


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_byte_is_enclosed_by_the_symbols_whose_rows_hold_it(path: Path) -> None:
    data, language = path.read_bytes(), language_of(path)
    root = syntax.parse_bytes(data, language)
    assert root
    for symbol in outline_of(root, data, language).symbols:
        if symbol.last == symbol.first or symbol.kind in ("constant", "type"):
            continue
        rows = data.split(b"\n")[: symbol.last]
        byte = len(b"\n".join(rows))  # the end of the row before its last
        found = [one for one in enclosing(root, data, language, byte) if one.kind != "scope"]
        assert symbol in found
        assert all(one.first <= symbol.last and symbol.first <= one.last for one in found)


def test_no_grammar_no_outline() -> None:
    assert outline(b"def f(): pass\n", "plaintext") == Outline()


@pytest.mark.parametrize(
    ("language", "code", "expected"),
    [
        ("python", "x = y = 1\n", ["constant x"]),
        ("python", "class A:\n  class B:\n    def f(self): pass\n", ["class A", "class A.B", "method A.B.f"]),
        ("javascript", "const api = { get() {} };\n", ["constant api", "method api.get"]),
        ("javascript", "var a = 1, b = 2;\n", ["constant a", "constant b"]),
        ("javascript", "const A = class extends B {\n  f() {}\n};\n", ["class A", "method A.f"]),
        ("typescript", "declare module 'x' {\n  function f(): void;\n}\n", ["module 'x'", "function 'x'.f"]),
        ("typescriptreact", "const A = () => <p/>;\n", ["function A"]),
        ("go", "type (\n\tA struct{ b int }\n\tC int\n)\n", ["struct A", "field A.b", "type C"]),
        ("go", "func (s *S) F() {}\n", ["method S.F"]),
        ("rust", "impl fmt::Display for a::B {\n    fn f() {}\n}\n", ["method B.f"]),
        ("rust", "union U { a: u8 }\n", ["struct U"]),
        ("java", "class A { int a, b; }\n", ["class A", "field A.a", "field A.b"]),
        ("c", "#ifndef A_H\n#define A_H\nint f(void);\n#endif\n", ["constant A_H", "function f"]),
        ("c", "char **f(int a) { return 0; }\n", ["function f"]),
        ("cpp", "class A { A& operator=(const A&); int& f(); };\n", ["class A", "method A.operator=", "method A.f"]),
        ("cpp", "a::B::~B() {}\n", ["method a.B.~B"]),
        ("cpp", "namespace a::b { int x; }\n", ["module a.b", "constant a.b.x"]),
        ("csharp", "namespace A;\nclass B { void F() { int G() { return 1; } } }\n", ["class B", "method B.F", "function B.F.G"]),
        ("ruby", "class A::B\n  def f?; end\n  def ==(o); end\nend\n", ["class A.B", "method A.B.f?", "method A.B.=="]),
        ("php", "<?php\nnamespace A { class B { const C = 1, D = 2; } }\n", ["module A", "class A.B", "constant A.B.C", "constant A.B.D"]),
        ("shellscript", "a() { b=1; }\n", ["function a"]),
        ("lua", "local a = function() end\nfunction a.b.c() end\n", ["constant a", "method a.b.c"]),
        ("kotlin", "sealed interface A\nobject B : A { fun f() = 1 }\n", ["interface A", "class B", "method B.f"]),
    ],
)  # fmt: skip
def test_definitions(language: str, code: str, expected: list[str]) -> None:
    assert names(code, language) == expected


@pytest.mark.parametrize(
    ("language", "code", "expected"),
    [
        ("python", "from . import a\n", [(".", "a", "a")]),
        ("python", "from ..b import c as d\n", [("..b", "c", "d")]),
        ("python", "import a.b\n", [("a.b", "", "a")]),
        ("python", "def f():\n    import g\n", [("g", "", "g")]),
        ("python", "if TYPE_CHECKING:\n    from a import (\n        b,\n        c,\n    )\n", [("a", "b", "b"), ("a", "c", "c")]),
        ("javascript", "export * from './a';\n", [("./a", "*", "*")]),
        ("javascript", "import a, { b } from 'c';\n", [("c", "default", "a"), ("c", "b", "b")]),
        ("typescript", "import type { A } from './a.js';\n", [("./a.js", "A", "A")]),
        ("go", 'import . "a/b"\nimport _ "c"\n', [("a/b", "*", "*"), ("c", "", "_")]),
        ("go", 'import "gopkg.in/yaml.v3"\n', [("gopkg.in/yaml.v3", "", "yaml")]),
        ("rust", "use a::{b::{C, D as E}, f::*};\n", [("a::b", "C", "C"), ("a::b", "D", "E"), ("a::f", "*", "*")]),
        ("rust", "pub use self::a::B;\n", [("self::a", "B", "B")]),
        ("java", "import static a.B.*;\n", [("a.B", "*", "*")]),
        ("cpp", "using a::b::C;\n", [("a::b", "C", "C")]),
        ("csharp", "global using A.B;\n", [("A.B", "*", "*")]),
        ("php", "<?php use A\\B as C, D\\E;\n", [("A", "B", "C"), ("D", "E", "E")]),
        ("php", "<?php use Plain;\n", [("", "Plain", "Plain")]),
        ("lua", "local a = require'b.c'\n", [("b.c", "", "a")]),
        ("kotlin", "import a.b.*\nimport a.C\n", [("a.b", "*", "*"), ("a", "C", "C")]),
        ("ruby", "require 'a/b'\n", [("a/b", "*", "*")]),
        ("shellscript", "source \"$D/a.sh\"\nsource 'b.sh'\n", [("$D/a.sh", "*", "*"), ("b.sh", "*", "*")]),
    ],
)  # fmt: skip
def test_imports(language: str, code: str, expected: list[tuple[str, str, str]]) -> None:
    assert imports(code, language) == expected


@pytest.mark.parametrize(
    ("language", "code", "signature", "doc"),
    [
        ("python", "def f(\n    a,\n    b=1,\n) -> int:\n    '''Do it. Well.'''\n", "def f( a, b=1, ) -> int:", "Do it."),
        ("python", "# no doc\ndef f(): pass\n", "def f():", ""),
        ("typescript", "// one\n\n// Two.\nfunction f(\n  a: B,\n): C {}\n", "function f( a: B, ): C", "Two."),
        ("rust", "/// Do it.\n#[inline]\n#[must_use]\npub fn f() {}\n", "pub fn f()", "Do it."),
        ("java", "class A {}", "class A", ""),
        ("csharp", "/// <summary>\n/// Do it.\n/// </summary>\nclass A { }\n", "class A", "Do it."),
        ("c", "int f(int a,\n      int b);\n", "int f(int a, int b)", ""),
        ("go", "// F does it.\nfunc F(a int) (int, error) {\n}\n", "func F(a int) (int, error)", "F does it."),
    ],
)  # fmt: skip
def test_signature_is_the_header_and_doc_the_first_sentence(
    language: str, code: str, signature: str, doc: str
) -> None:
    symbol = outline(code.encode(), language).symbols[0]
    assert (symbol.signature, symbol.doc) == (signature, doc)


def definitions(node: ast.AST, container: str = "") -> Iterator[tuple[str, int]]:
    """Qualified names of classes and functions, with the row of the header."""
    for child in ast.iter_child_nodes(node):
        inner = container
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            inner = f"{container}.{child.name}".lstrip(".")
            first = min([child.lineno, *(one.lineno for one in child.decorator_list)])
            yield inner, first - 1
        yield from definitions(child, inner)


@pytest.mark.parametrize(("name", "text"), modules()[::3], ids=[n for n, _ in modules()[::3]])
def test_python_outline_has_the_definitions_that_python_itself_finds(name: str, text: str) -> None:
    kinds = ("class", "function", "method")
    found = [one for one in outline(text.encode(), "python").symbols if one.kind in kinds]
    expected = sorted(definitions(ast.parse(text)))
    assert sorted((one.qualified, one.first) for one in found) == expected


def test_an_import_says_its_row() -> None:
    assert outline(b"\n\nimport a\n", "python").imports == (Import("a", "", "a", 2),)


@pytest.mark.parametrize("language", sorted(ROWS))
@pytest.mark.parametrize(
    "code",
    [b"", b"\0\0", b"\xff\xfe", b"(" * 10_000, b"class A { " * 10_000, b"def f():\n" * 2000],
    ids=["empty", "NUL", "no UTF-8", "brackets", "classes", "defs"],
)
def test_bad_files_have_an_outline_too(language: str, code: bytes) -> None:
    for symbol in outline(code, language, limit_s=2).symbols:
        assert len(symbol.signature) <= LONGEST_SIGNATURE


@pytest.mark.parametrize("language", sorted(ROWS))
def test_a_file_of_one_line_of_a_megabyte_is_read_in_time(language: str) -> None:
    outline(b"a(b, c); " * 110_000, language, limit_s=0.2)


@settings(max_examples=50, deadline=None)
@given(st.sampled_from(FILES), st.data())
def test_outlines_of_broken_code_hold_rows_of_the_file(path: Path, data: st.DataObject) -> None:
    code = path.read_bytes()
    first, last = sorted(data.draw(st.tuples(*[st.integers(0, len(code))] * 2)))
    broken = code[:first] + code[last:]
    for symbol in outline(broken, language_of(path), limit_s=1).symbols:
        assert 0 <= symbol.first <= symbol.last <= broken.count(b"\n")
        assert symbol.name


def test_a_comment_between_a_header_and_its_body_is_no_part_of_the_header() -> None:
    text = (
        b"class A(B):  # type: ignore\n    # Keeps a cache: see __missing__.\n\n    x = 1\n\n\n"
        b'def f(mark="#", other=": #"):\n    # Why.\n    return 1\n'
    )
    found = {one.name: one.signature for one in outline(text, "python").symbols}
    assert found["A"] == "class A(B):"
    assert found["f"] == 'def f(mark="#", other=": #"):'
