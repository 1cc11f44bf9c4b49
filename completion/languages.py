"""What the completion layer must know about a programming language: one row each.

The next language is one more row in `ROWS`, its grammar among the dependencies and a query file;
docs/languages.md tells how. A language without a row falls back to lines, quotes and brackets.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module


def _load(module: str, name: str = "language") -> object:
    return getattr(import_module(f"tree_sitter_{module}"), name)()


def words(text: str) -> frozenset[str]:
    return frozenset(text.split())


@dataclass(frozen=True)
class Language:
    """Names of node types are those of the tree-sitter grammar.

    `endings` are those of the language's files, `files` the names of some that have none.
    `quotes`: string delimiters, one character each; `triple` says whether three in a row make
    a string of many lines. `comment` starts a comment to the end of the line. A `statement` is
    a node whose type ends with one of these words; a `definition` is one that a reader would
    name. Statements are looked for in `containers` only, never in expressions. `opener` ends a
    line that wants an indented body (languages of the off-side rule); `clauses` continue a
    statement at its own indentation, after any of `compound`. A line that starts with a word
    of `keywords` starts a statement whatever brackets are open before it. `docstring`: a definition
    is documented by the string that its body begins with, not by a comment above.

    `queries`: the files in `queries/` that say what a file defines and imports. What follows is
    for `tokens`, which reads all languages: `strings` are delimiters, longest first, `remarks`
    what starts a comment to the end of the line, as regular expressions, `block_remark` what
    stands around one of many lines. `member` finds what stands between an object and its member,
    `word` a name, `importing` the start of a line that imports, `blocks` what makes a line open or
    close a block. `selves`: what a method calls its own object.

    Where there are no `statement`s the model has learned single lines only: holes, the lexer and
    training treat the language as plain text, whatever else the row says.
    """

    name: str
    endings: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    quotes: str = "\"'"
    triple: bool = False
    comment: str = ""
    grammar: Callable[[], object] | None = None
    queries: tuple[str, ...] = ()
    statement: tuple[str, ...] = ()
    definition: frozenset[str] = frozenset()
    containers: frozenset[str] = frozenset()
    opener: str = ""
    decorator: str = ""
    compound: frozenset[str] = frozenset()
    clauses: frozenset[str] = frozenset()
    keywords: re.Pattern[str] | None = None
    docstring: bool = False
    strings: tuple[str, ...] = ('"', "'")
    remarks: tuple[str, ...] = ("//",)
    block_remark: tuple[str, str] | None = ("/*", "*/")
    member: str = r"\.|::|->"
    word: str = r"[^\W\d]\w*"
    importing: str = r"import\b"
    blocks: str = r"[{}]"
    selves: tuple[str, ...] = ("this",)

    @property
    def has_statements(self) -> bool:
        return bool(self.statement)


PLAINTEXT = Language("plaintext", remarks=("#", "//"), block_remark=None)

PYTHON = Language(
    "python",
    endings=(".py", ".pyi"),
    triple=True,
    docstring=True,
    strings=('"""', "'''", '"', "'"),
    remarks=("#",),
    block_remark=None,
    member=r"\.",
    comment="#",
    importing=r"(?:import|from)\b",
    blocks=r"^\s*(?:async|def|class|if|elif|else|for|while|with|try|except|finally|match|case)\b.*:\s*(?:#.*)?$",
    selves=("self", "cls"),
    grammar=partial(_load, "python"),
    queries=("python",),
    statement=("_statement", "_definition"),
    definition=frozenset({"class_definition", "function_definition", "decorated_definition"}),
    containers=frozenset(
        [
            "module",
            "block",
            "ERROR",
            "class_definition",
            "function_definition",
            "decorated_definition",
            "if_statement",
            "for_statement",
            "while_statement",
            "with_statement",
            "try_statement",
            "match_statement",
            "elif_clause",
            "else_clause",
            "except_clause",
            "finally_clause",
            "case_clause",
        ]
    ),
    opener=":",
    decorator="@",
    compound=frozenset({"if", "elif", "for", "while", "try", "except", "async"}),
    clauses=frozenset({"elif", "else", "except", "finally"}),
    # Only words that cannot stand inside an expression: `if`, `for`, `from`, `async` can.
    keywords=re.compile(
        r"[ \t]*(?:def|class|import|return|raise|while|with|try|except|finally|elif|pass|break"
        r"|continue|assert|del|global|nonlocal)\b"
    ),
)

_JAVASCRIPT = Language(
    "javascript",
    endings=(".js", ".mjs", ".cjs"),
    grammar=partial(_load, "javascript"),
    queries=("ecmascript", "javascript"),
    word=r"#?[^\W\d][\w$]*|\$[\w$]*",
    importing=r"import\b|export\b.*\bfrom\b|.*\brequire\(",
    strings=('"', "'", "`"),
    member=r"\?\.|\.",
)
_TYPESCRIPT = Language(
    "typescript",
    endings=(".ts", ".mts", ".cts"),
    grammar=partial(_load, "typescript", "language_typescript"),
    queries=("ecmascript", "typescript"),
    word=r"#?[^\W\d][\w$]*|\$[\w$]*",
    importing=r"import\b|export\b.*\bfrom\b|.*\brequire\(",
    strings=('"', "'", "`"),
    member=r"\?\.|!\.|\.",
)
_C = Language(
    "c",
    endings=(".c", ".h"),
    grammar=partial(_load, "c"),
    queries=("c",),
    member=r"\.|->",
    selves=(),
    importing=r"#\s*include\b|using\b",
)

_OTHERS = (
    _JAVASCRIPT,
    replace(_JAVASCRIPT, name="javascriptreact", endings=(".jsx",)),
    _TYPESCRIPT,
    replace(
        _TYPESCRIPT,
        name="typescriptreact",
        endings=(".tsx",),
        grammar=partial(_load, "typescript", "language_tsx"),
    ),
    Language(
        "go",
        endings=(".go",),
        grammar=partial(_load, "go"),
        queries=("go",),
        selves=(),
        strings=('"', "`", "'"),
        member=r"\.",
    ),
    Language(
        "rust",
        endings=(".rs",),
        grammar=partial(_load, "rust"),
        queries=("rust",),
        importing=r"(?:pub(?:\([^)]*\))?\s+)?(?:use|extern\s+crate|mod)\b",
        selves=("self",),
        quotes='"',  # an apostrophe is a lifetime far more often
        strings=('"',),
        member=r"\?\.|\.|::",
    ),
    Language(
        "java",
        endings=(".java",),
        grammar=partial(_load, "java"),
        queries=("java",),
        strings=('"""', '"', "'"),
        member=r"\.|::",
    ),
    _C,
    replace(
        _C,
        name="cpp",
        endings=(".cpp", ".cc", ".cxx", ".hpp", ".hh", ".hxx", ".ipp", ".inl"),
        grammar=partial(_load, "cpp"),
        queries=("c", "cpp"),
        selves=("this",),
        member=r"\.|->|::",
    ),
    Language(
        "csharp",
        endings=(".cs",),
        grammar=partial(_load, "c_sharp"),
        queries=("csharp",),
        importing=r"using\s+(?!\(|var\b)",
        strings=('"""', '"', "'"),
        member=r"\?\.|!\.|\.|::",
    ),
    Language(
        "ruby",
        endings=(".rb", ".rake", ".gemspec"),
        files=("Rakefile", "Gemfile", "Vagrantfile"),
        grammar=partial(_load, "ruby"),
        queries=("ruby",),
        word=r"(?:@@?|\$)?[^\W\d]\w*(?:[?!](?!=))?",
        importing=r"(?:require|require_relative|load|autoload)\b",
        blocks=r"\b(?:def|class|module|do|if|unless|while|until|for|case|begin|else|elsif|when|end)\b|[{}]",
        selves=("self",),
        remarks=("#",),
        block_remark=("=begin", "=end"),
        member=r"&\.|\.|::",
    ),
    Language(
        "php",
        endings=(".php",),
        grammar=partial(_load, "php", "language_php"),
        queries=("php",),
        word=r"\$?[^\W\d]\w*",
        importing=r"(?:use|require|require_once|include|include_once)\b",
        selves=("$this",),
        remarks=("//", r"#(?!\[)"),
        member=r"\?->|->|::",
    ),
    Language(
        "shellscript",
        endings=(".sh", ".bash"),
        files=(".bashrc", ".bash_profile", ".profile", "PKGBUILD"),
        grammar=partial(_load, "bash"),
        queries=("shellscript",),
        selves=(),
        importing=r"(?:source|\.)\s",
        blocks=r"\b(?:do|done|if|then|else|elif|fi|case|esac|function)\b|[{}]",
        remarks=(r"(?<![^\s;])#",),
        block_remark=None,
        member=r"(?!)",
    ),
    Language(
        "lua",
        endings=(".lua",),
        grammar=partial(_load, "lua"),
        queries=("lua",),
        importing=r".*\brequire\b",
        blocks=r"\b(?:function|do|if|then|else|elseif|for|while|repeat|until|end)\b|[{}]",
        selves=("self",),
        remarks=(r"--(?!\[\[)",),
        block_remark=("--[[", "]]"),
        member=r"\.|:(?!:)",
    ),
    Language(
        "kotlin",
        endings=(".kt", ".kts"),
        grammar=partial(_load, "kotlin"),
        queries=("kotlin",),
        strings=('"""', '"', "'"),
        member=r"\?\.|!!\.|\.|::",
    ),
)

ROWS = {row.name: row for row in (PYTHON, *_OTHERS)}


def language_row(name: str) -> Language:
    """The row of a language id; lines, quotes and brackets when there is none."""
    return ROWS.get(name, PLAINTEXT)
