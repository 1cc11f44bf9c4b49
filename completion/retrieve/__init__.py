"""Which code of other files helps at a cursor.

`Retriever` asks the sources (`sources`), each of which names candidates with a reason; `gate`
says which are worth their tokens; `merge` makes pieces of them that fit a budget. `resolve` and
`modules` find what a name stands for through the file's imports, `skeleton` how it is shown.
"""

from completion.retrieve.retriever import Retriever

__all__ = ["Retriever"]
