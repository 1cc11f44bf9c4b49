"""What stands around a cursor, in every language; the cursor is at `¦`."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from completion.document import language_of
from completion.languages import PLAINTEXT, ROWS
from completion.scope import MOST_NAMES, Scope, scope_at
from completion.syntax import SyntaxTree
from tests.holes import modules

SAMPLES = Path(__file__).parent / "languages"
FILES = sorted(path for path in SAMPLES.iterdir() if path.is_file())

PYTHON = """\
import a
from b import C

class Order(Base, mixins.Named, metaclass=Meta):
    logger: Logger

    def __init__(self, store: Store, *, n: int = 1):
        self.store = store
        self.line = Line(n)

    def total(self, other: "Order", many: Optional[Thing] = None):
        shop = shops.Shop(other)
        ¦
        return shop.open(many)

def last():
    pass
"""
TYPESCRIPT = """\
import { A } from "./a";
export class Order<T> extends Base<Map<T, T>> implements Named, Closeable {
  private log: Logger = new Logger();
  constructor(private readonly store: Store, name: Name) {
    super();
    this.name = name;
  }

  async price(currency: string, o: Order): Promise<Price> {
    const total = new Total(currency);
    ¦
    return total;
  }
}
"""
GO = """\
package x

import "fmt"

func (o *Order) Total(c *pkg.Currency, n int) int {
	l := &Line{}
	q := NewQueue(3)
	var z Zed
	¦
}
"""
RUST = """\
use a::B;

impl<T> Shop for Order<T> {
    fn open(&self, hour: &mut Hour) -> bool {
        let item = Item::new(3);
        let store: Option<Store> = None;
        ¦
    }
}
"""
JAVA = """\
import a.B;

class Order<T> extends Base<T> implements Named {
    private final Store store;

    int total(Currency currency) {
        Line line = new Line();
        var foo = new Foo<>(1);
        ¦
    }
}
"""
C = """\
#include "store.h"

int total(struct order *o, const line_t *l) {
    ¦
}
"""
CPP = """\
#include "store.h"

int a::Order::total(const Currency& c) {
    Line l(3);
    std::vector<int> v = {};
    auto f = Foo(3);
    ¦
}
"""
CSHARP = """\
using A.B;

namespace N {
    class Order<T> : Base<T>, INamed where T : class {
        private readonly Store _store;

        int Total(Currency currency) {
            var foo = new Foo(1);
            ¦
        }
    }
}
"""
RUBY = """\
require "a"

module M
  class Order < Base
    def initialize(store)
      @log = Logger.new(1)
    end

    def total(currency)
      foo = Foo.new(currency)
      ¦
    end
  end
end
"""
PHP = """\
<?php
use A\\B;

class Order extends Base implements Named {
    private Store $store;

    public function __construct(private Logger $log, Foo $foo) {
        $this->foo = $foo;
    }

    public function total(Currency $currency) {
        $line = new Line(1);
        ¦
    }
}
"""
SHELL = """\
source a.sh

total() {
  local sum=0
  ¦
}
"""
LUA = """\
local a = require("a")

function Order:total(currency)
  local line = Line.new(currency)
  ¦
end
"""
KOTLIN = """\
import a.B

class Order(val store: Store, n: Int) : Base(n), Named {
    private val log = Log()

    fun total(currency: Currency): Int {
        val line = Line(currency)
        ¦
    }
}
"""
JAVASCRIPT = """\
import { B } from "./a";

class Order extends Base {
  constructor(store) {
    this.store = new Store();
  }

  total(currency) {
    const line = new Line(currency);
    ¦
  }
}
"""
TEXTS = {
    "python": PYTHON, "typescript": TYPESCRIPT, "typescriptreact": TYPESCRIPT, "go": GO,
    "rust": RUST, "java": JAVA, "c": C, "cpp": CPP, "csharp": CSHARP, "ruby": RUBY, "php": PHP,
    "shellscript": SHELL, "lua": LUA, "kotlin": KOTLIN, "javascript": JAVASCRIPT,
    "javascriptreact": JAVASCRIPT,
}  # fmt: skip


def at(marked: str, language: str) -> Scope:
    offset = marked.index("¦")
    return scope_at(marked[:offset] + marked[offset + 1 :], offset, language)


def around(scope: Scope) -> list[str]:
    return [f"{one.kind} {one.qualified}" for one in scope.enclosing]


def spelled(scope: Scope) -> list[str]:
    """Names as `receiver>name()`."""
    return [
        f"{one.receiver}>{one.text}{'()' if one.call else ''}".lstrip(">") for one in scope.names
    ]


def test_every_language_is_here() -> None:
    assert set(TEXTS) == set(ROWS)


@pytest.mark.parametrize(
    ("language", "enclosing", "bases", "types"),
    [
        ("python", ["class Order", "method Order.total"], ("Base", "mixins.Named"),
         {"self": "Order", "cls": "Order", "self.logger": "Logger", "self.store": "Store",
          "self.line": "Line", "other": "Order", "many": "Thing", "shop": "shops.Shop"}),
        ("typescript", ["class Order", "method Order.price"], ("Base", "Named", "Closeable"),
         {"this": "Order", "this.log": "Logger", "this.store": "Store", "this.name": "Name",
          "o": "Order", "total": "Total"}),
        ("javascript", ["class Order", "method Order.total"], ("Base",),
         {"this": "Order", "this.store": "Store", "line": "Line"}),
        ("go", ["method Order.Total"], (),
         {"o": "Order", "c": "pkg.Currency", "l": "Line", "q": "Queue", "z": "Zed"}),
        ("rust", ["scope Order", "method Order.open"], ("Shop",),
         {"self": "Order", "hour": "Hour", "item": "Item", "store": "Store"}),
        ("java", ["class Order", "method Order.total"], ("Base", "Named"),
         {"this": "Order", "this.store": "Store", "currency": "Currency", "line": "Line",
          "foo": "Foo"}),
        ("c", ["function total"], (), {"o": "order", "l": "line_t"}),
        ("cpp", ["method a.Order.total"], (),
         {"this": "Order", "c": "Currency", "l": "Line", "v": "std::vector", "f": "Foo"}),
        ("csharp", ["module N", "class N.Order", "method N.Order.Total"], ("Base", "INamed"),
         {"this": "Order", "this._store": "Store", "currency": "Currency", "foo": "Foo"}),
        ("ruby", ["module M", "class M.Order", "method M.Order.total"], ("Base",),
         {"self": "Order", "@log": "Logger", "foo": "Foo"}),
        ("php", ["class Order", "method Order.total"], ("Base", "Named"),
         {"$this": "Order", "$this->store": "Store", "$this->log": "Logger", "$this->foo": "Foo",
          "$currency": "Currency", "$line": "Line"}),
        ("shellscript", ["function total"], (), {}),
        ("lua", ["method Order.total"], (), {"self": "Order", "line": "Line"}),
        ("kotlin", ["class Order", "method Order.total"], ("Base", "Named"),
         {"this": "Order", "this.store": "Store", "this.log": "Log", "currency": "Currency",
          "line": "Line"}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("typed", ["", "foo", "foo.", "foo.ba", "foo(", "foo(1, ", '"', "("])
def test_scope_whatever_is_typed(
    language: str, enclosing: list[str], bases: tuple[str, ...], types: dict[str, str], typed: str
) -> None:
    scope = at(TEXTS[language].replace("¦", typed + "¦"), language)
    assert around(scope) == enclosing
    assert scope.bases == bases
    assert {name: scope.types.get(name) for name in types} == types
    assert len(scope.imports) == (2 if language == "python" else 1)


@pytest.mark.parametrize("language", sorted(TEXTS))
def test_member_argument_and_word(language: str) -> None:
    dot = {"php": "->", "shellscript": ""}.get(language, ".")
    variable = "$a" if language == "php" else "a"
    if dot:
        scope = at(TEXTS[language].replace("¦", f"{variable}{dot}b(1){dot}cd¦"), language)
        assert (scope.receiver, scope.word) == (f"{variable}{dot}b(1)", "cd")
        assert scope.place == "member"
        scope = at(TEXTS[language].replace("¦", f"{variable}{dot}call(1, ¦"), language)
        assert scope.callee
        assert (scope.callee.text, scope.callee.receiver) == ("call", variable)
    else:
        scope = at(TEXTS[language].replace("¦", "call(1, ¦"), language)
    assert scope.place == "argument"


@pytest.mark.parametrize(
    ("language", "code", "place"),
    [
        ("python", "¦", "statement"),
        ("python", "import a¦", "import"),
        ("python", "from a import ¦", "import"),
        ("python", "from a import (\n    b,\n    ¦\n)\n", "import"),
        ("python", "important = ¦", "statement"),
        ("python", "def f():\n    ¦\n", "body"),
        ("python", "def f():\n    x = 1\n    ¦\n", "statement"),
        ("python", "if x:\n    re¦\n", "body"),
        ("python", "d = {\n    'a':\n    ¦\n}\n", "statement"),
        ("python", "x = f'a {b¦", "string"),
        ("python", '"""\nhello ¦\n"""\n', "string"),
        ("python", "x = 1  # so ¦", "comment"),
        ("python", "f(a, [b, ¦])", "argument"),
        ("python", "f(\n    a,\n    ¦\n)\n", "argument"),
        ("python", "f({'a': ¦})", "argument"),
        ("python", "if (a and ¦)", "statement"),
        ("python", "def f(a, ¦)", "statement"),
        ("python", "a.b.¦", "member"),
        ("python", "x = 1.¦", "member"),
        ("javascript", "import { a, ¦ } from 'b'", "import"),
        ("javascript", "const a = require('¦')", "import"),
        ("javascript", "foo(() => {\n  ¦\n})", "body"),
        ("javascript", "foo(() => {\n  a();\n  ¦\n})", "statement"),
        ("javascript", "foo({ a: 1, b: ¦ })", "argument"),
        ("javascript", "`a ${b} ¦", "string"),
        ("typescript", "new Map<string, B>(¦)", "argument"),
        ("typescript", "if (a) {\n  ¦\n}", "body"),
        ("typescript", "/* so\n ¦ */", "comment"),
        ("go", 'import (\n\t"fmt"\n\t"¦"\n)\n', "import"),
        ("go", "func f() {\n\t¦\n}\n", "body"),
        ("go", "x := `a ¦", "string"),
        ("rust", "use a::{b, ¦};", "import"),
        ("rust", "fn f<'a>(x: &'a str) { g(¦", "argument"),
        ("rust", "let c = 'a'; ¦", "statement"),
        ("rust", "println!(\"{}\", ¦)", "argument"),
        ("java", "import a.¦", "import"),
        ("java", 'String a = """\n  b ¦', "string"),
        ("c", '#include "¦"', "import"),
        ("c", "a->b->¦", "member"),
        ("c", "int f(int a, ¦", "statement"),
        ("cpp", "std::¦", "member"),
        ("csharp", "using A.¦", "import"),
        ("csharp", "using (var a = ¦", "statement"),
        ("ruby", "require 'a¦", "import"),
        ("ruby", "def f(a)\n  ¦\nend\n", "body"),
        ("ruby", "a&.¦", "member"),
        ("ruby", "=begin\n ¦", "comment"),
        ("php", "<?php\nuse A\\¦", "import"),
        ("php", "<?php\nA::¦", "member"),
        ("php", "<?php\n# so ¦", "comment"),
        ("php", "<?php\n#[Attribute]\n¦", "statement"),
        ("shellscript", "if a; then\n  ¦\nfi\n", "body"),
        ("shellscript", "echo $# ¦", "statement"),
        ("shellscript", "echo \"a $b ¦", "string"),
        ("lua", "-- so ¦", "comment"),
        ("lua", "--[[ so\n ¦", "comment"),
        ("lua", "local function f(a)\n  ¦\nend\n", "body"),
        ("lua", "a:¦", "member"),
        ("kotlin", "a?.b!!.¦", "member"),
        ("kotlin", "fun f() {\n    ¦\n}\n", "body"),
        ("plaintext", "some words ¦", "statement"),
    ],
)  # fmt: skip
def test_place(language: str, code: str, place: str) -> None:
    assert at(code, language).place == place


def test_names_come_nearest_first_each_once() -> None:
    code = (
        "def f(a, b):\n    a.x(1)\n    b = a.x(2)\n    c(¦)\n    d = b\n\ndef g():\n    other()\n"
    )
    scope = at(code, "python")
    assert spelled(scope) == ["c()", "d", "b", "a>x()", "a"]
    assert [one.row for one in scope.names] == [3, 4, 4, 2, 2]


def test_names_hold_no_keywords_strings_comments_or_numbers() -> None:
    code = 'def f():\n    if not x: return "s" % y  # z\n    return 1.5 + True\n    ¦\n'
    assert sorted(spelled(at(code, "python"))) == ["x", "y"]


def test_the_word_under_the_cursor_is_no_name() -> None:
    scope = at("def f():\n    x = ab¦cd + e\n", "python")
    assert (scope.word, spelled(scope)) == ("ab", ["e", "x"])


def test_names_below_an_open_string_are_found() -> None:
    assert "later()" in spelled(at("def f():\n    x = 'a¦\n    later()\n", "python"))
    assert "later()" in spelled(at('def f():\n    """a¦\n    so"""\n    later()\n', "python"))


def test_names_are_not_read_from_the_middle_of_a_string() -> None:
    doc = "\n".join(f"    it's line {n}" for n in range(100))
    scope = at(f'def f():\n    """Doc.\n{doc}\n    """\n    x = y(¦)\n', "python")
    assert spelled(scope) == ["y()", "x"]
    assert scope.place == "argument"


@pytest.mark.parametrize(
    ("language", "code", "expected"),
    [
        ("python", "class A:\n    def f(self):\n        ¦\n", ["class A", "method A.f"]),
        ("python", "class A:\n    def f(self):\n        x = 1\n\n    ¦\n    def g(self): pass\n", ["class A"]),
        ("python", "class A:\n    def f(self):\n        x = 1\n\n¦\n", []),
        ("python", "class A:\n    def f(self):\n        x = (1,\n        ¦\n", ["class A", "method A.f"]),
        ("python", "def f():\n    def g():\n        pass\n    ¦\n", ["function f"]),
        ("python", "def f():\n    def g():\n        ¦\n", ["function f", "function f.g"]),
        ("python", "x = ((\nclass A:\n    async def f(self):\n        y = [¦\n", ["class A", "method A.f"]),
        ("javascript", "function f() {\n  ¦\n", ["function f"]),
        ("javascript", "class A {\n  f(a) {\n    g(¦\n", ["class A", "method A.f"]),
        ("typescript", "export async function f(a: B) {\n  if (a) {\n    ¦\n", ["function f"]),
        ("go", "func (s *Server) Run() {\n\tx := (\n\t¦\n", ["method Server.Run"]),
        ("rust", "impl A {\n    pub fn f(&self) {\n        let x = (((¦\n", ["scope A", "method A.f"]),
        ("java", "class A\n{\n    int f()\n    {\n        g(¦\n", ["class A", "method A.f"]),
        ("c", "static int f(int a) {\n    g(¦\n", ["function f"]),
        ("ruby", "class A\n  def f\n    g(¦\n", ["class A", "method A.f"]),
        ("lua", "function A:f()\n  g(¦\n", ["method A.f"]),
        ("kotlin", "class A {\n    fun f() {\n        g(¦\n", ["class A", "method A.f"]),
        ("php", "<?php\nclass A {\n    public function f() {\n        g(¦\n", ["class A", "method A.f"]),
    ],
)  # fmt: skip
def test_enclosing_in_broken_code(language: str, code: str, expected: list[str]) -> None:
    assert around(at(code, language)) == expected


def test_enclosing_has_signatures() -> None:
    scope = at(PYTHON, "python")
    assert scope.enclosing[0].signature.startswith("class Order(Base")
    assert scope.enclosing[1].signature.startswith("def total(self, other:")
    assert at(GO, "go").enclosing[0].signature.startswith("func (o *Order) Total(")


def test_the_last_type_before_the_cursor_counts() -> None:
    code = "def f():\n    x = First()\n    x = Second()\n    ¦\n    x = Third()\n"
    assert at(code, "python").types["x"] == "Second"


def test_an_unknown_language_has_names_and_no_definitions() -> None:
    scope = at("define foo as bar.baz(1)\n  then ¦qux\n", "elixir")
    assert (scope.enclosing, scope.imports) == ((), ())
    assert {"foo", "bar>baz()", "define"} <= set(spelled(scope))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_kept_tree_changes_nothing(path: Path) -> None:
    text, language = path.read_text("utf-8"), language_of(path)
    tree = SyntaxTree(language)
    for offset in range(0, len(text) + 1, 7):
        assert scope_at(text, offset, language, tree) == scope_at(text, offset, language)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_scope_at_every_key_of_a_file_being_typed(path: Path) -> None:
    text, language = path.read_text("utf-8"), language_of(path)
    tree = SyntaxTree(language)
    for offset in range(0, len(text) + 1, 3):
        scope = scope_at(text[:offset], offset, language, tree)
        assert all(0 <= one.offset < offset for one in scope.names)
        assert all(one.row == text.count("\n", 0, one.offset) for one in scope.names)


def test_typing_within_a_line_does_not_parse_again() -> None:
    text = max((text for _, text in modules()), key=len)
    offset = text.index("\n", len(text) // 2) + 1
    tree = SyntaxTree("python")
    roots = set()
    for typed in ("", "x", "x = ", "x = foo(", "x = foo('"):
        scope_at(text[:offset] + typed + "\n" + text[offset:], offset + len(typed), "python", tree)
        assert tree.root
        roots.add(tree.root.id)
    assert (len(roots), tree.full) == (1, 1)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([*ROWS, PLAINTEXT.name]),
    st.text("ab \n\t\"'`#()[]{}:;,.=<>@$é😀/*-\\!?&|", max_size=200),
    st.data(),
)
def test_scope_of_anything_is_found_and_the_same_each_time(
    language: str, text: str, data: st.DataObject
) -> None:
    offset = data.draw(st.integers(0, len(text)))
    scope = scope_at(text, offset, language)
    assert scope == scope_at(text, offset, language)
    for one in scope.names:
        assert text.startswith(one.text, one.offset)


@pytest.mark.timeout(60)  # a pattern that backtracks would take minutes
@pytest.mark.parametrize("language", sorted([*ROWS, PLAINTEXT.name]))
@pytest.mark.parametrize(
    "text",
    [
        "", "\0" * 100, "(" * 10_000, "f(" * 10_000, "{\n" * 10_000, "if x:\n" * 3000, "a.b(c), " * 125_000,
        "a" * 1_000_000, "\n" * 100_000, " " * 100_000 + "x", "<" * 10_000, "a<b," * 5000, "'" * 9999, "x : " * 9999,
        "".join(" " * n + "if x:\n" for n in range(600)), "class A extends " * 5000, "a = " * 10_000,
    ],
    ids=lambda text: repr(text[:8]),
)  # fmt: skip
def test_no_text_takes_unbounded_time(language: str, text: str) -> None:
    for offset in (0, len(text) // 2, len(text)):
        scope = scope_at(text, offset, language)
        assert len(scope.names) <= MOST_NAMES
