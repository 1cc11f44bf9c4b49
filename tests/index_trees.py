"""Small workspaces to index, and what an index has of one, whatever its rows' ids are."""

import sqlite3
from pathlib import Path

from completion.index import File, Index, Indexer, schema

SHAPES = '''\
"""Shapes."""

import math
from dataclasses import dataclass

LARGEST = 10


@dataclass
class Circle:
    """A round shape. It has no corners."""

    radius: float = 1.0

    def area(self) -> float:
        """Its area in square metres."""
        return math.pi * self.radius**2


def largest_circle(circles):
    def by_area(circle):
        return circle.area()

    return max(circles, key=by_area)
'''
USE = """\
from pkg import shapes
from pkg.shapes import Circle as Round, largest_circle
import os


def report(sizes):
    return largest_circle([Round(size) for size in sizes])
"""
TREE = {
    "pkg/__init__.py": "from pkg.shapes import Circle\n",
    "pkg/shapes.py": SHAPES,
    "use.py": USE,
    "web/app.ts": "import { draw } from './lib/draw';\nexport function start(): void { draw(); }\n",
    "web/lib/index.js": "export const draw = () => 1;\n",
}


def make(root: Path, tree: dict[str, str] = TREE) -> Path:
    for name, text in tree.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
    return root


def build(root: Path, processes: int = 0) -> Index:
    """An index of the tree as it is now, open for reading."""
    indexer = Indexer(root, processes)
    indexer.update()
    indexer.close()
    return Index(root)


def paths(root: Path) -> set[str]:
    """Of the files whose text is in the index."""
    return set(content(root))


def content(root: Path) -> dict[str, tuple]:
    """By path: language, lines, definitions, imports, chunks as (first, last, hash, words)."""
    index = Index(root)
    db = sqlite3.connect(schema.file_of(root))
    words: dict[int, set[str]] = {}
    db.execute("CREATE VIRTUAL TABLE temp.said USING fts5vocab('main', 'postings', 'instance')")
    for word, chunk in db.execute("SELECT term, doc FROM temp.said"):
        words.setdefault(chunk, set()).add(word)
    result = {}
    for path, file in _files(index, db).items():
        chunks = db.execute(
            "SELECT first, last, hash, id FROM chunks WHERE id BETWEEN ? AND ? ORDER BY first",
            schema.rows_of(file.id),
        ).fetchall()
        result[path] = (
            file.language,
            file.lines,
            [d.symbol for d in index.symbols_of(file)],
            index.imports_of(file),
            [(*row[:3], frozenset(words.get(row[3], ()))) for row in chunks],
        )
    db.close()
    index.close()
    return result


def _files(index: Index, db: sqlite3.Connection) -> dict[str, File]:
    folders = [row[0] for row in db.execute("SELECT path FROM folders")]
    return {file.path: file for folder in folders for file in index.files_in(folder, 100_000)}
