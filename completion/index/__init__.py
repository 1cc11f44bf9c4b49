"""The repository index: what a workspace's files define, import and say, in one SQLite file.

`Indexer` writes it (`tandem index`, the language server on a save), `Index` answers from it.
"""

from completion.index.indexer import Indexer, Stats
from completion.index.reader import Chunk, Index
from completion.index.tables import Definition, File
from completion.index.words import terms_of

__all__ = ["Chunk", "Definition", "File", "Index", "Indexer", "Stats", "terms_of"]
