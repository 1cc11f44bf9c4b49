"""What the completion layer must know about a programming language: one row each.

The next language is one more row in `ROWS` and its grammar among the dependencies. A language
without a row falls back to lines, quotes and brackets.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass


def _python_grammar() -> object:
    import tree_sitter_python

    return tree_sitter_python.language()


@dataclass(frozen=True)
class Language:
    """Names of node types are those of the tree-sitter grammar.

    `endings` are those of the language's files.
    `quotes`: string delimiters, one character each; `triple` says whether three in a row make
    a string of many lines. `comment` starts a comment to the end of the line. A `statement` is
    a node whose type ends with one of these words; a `definition` is one that a reader would
    name. Statements are looked for in `containers` only, never in expressions. `opener` ends a
    line that wants an indented body (languages of the off-side rule); `clauses` continue a
    statement at its own indentation, after any of `compound`. A line that starts with a word
    of `keywords` starts a statement whatever brackets are open before it. `docstring`: a definition
    is documented by the string that its body begins with, not by a comment above.
    """

    name: str
    endings: tuple[str, ...] = ()
    quotes: str = "\"'"
    triple: bool = False
    comment: str = ""
    grammar: Callable[[], object] | None = None
    statement: tuple[str, ...] = ()
    definition: frozenset[str] = frozenset()
    containers: frozenset[str] = frozenset()
    opener: str = ""
    decorator: str = ""
    compound: frozenset[str] = frozenset()
    clauses: frozenset[str] = frozenset()
    keywords: re.Pattern[str] | None = None
    docstring: bool = False


PLAINTEXT = Language("plaintext")

PYTHON = Language(
    "python",
    endings=(".py", ".pyi"),
    triple=True,
    docstring=True,
    comment="#",
    grammar=_python_grammar,
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

ROWS = {row.name: row for row in (PYTHON,)}


def language_row(name: str) -> Language:
    """The row of a language id; lines, quotes and brackets when there is none."""
    return ROWS.get(name, PLAINTEXT)
