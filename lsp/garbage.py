"""What the garbage collector looks at: not what the server holds until it ends.

A full collection walks all objects there are, some 500,000 once a tokenizer and the grammars are
loaded: 60 ms in which no key is answered, whichever thread it falls to.
"""

import gc

# Objects made and not freed before the youngest are looked at; Python's own is 700.
YOUNG = 10_000


def keep() -> None:
    """What is there now stays. To be called when all is loaded, and again when more was."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG)
