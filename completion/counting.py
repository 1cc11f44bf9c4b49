"""How many tokens a text has: exactly where the tokenizer is at hand, else a safe guess."""

from collections.abc import Callable

from tandem.config import Config
from tandem.errors import TandemError

Counter = Callable[[str], int]

# Code has 3 to 4 characters a token in the vocabularies we know; 2.5 errs on the short side.
CHARACTERS_PER_TOKEN = 2.5


def estimate(text: str) -> int:
    return int(len(text) / CHARACTERS_PER_TOKEN) + 1 if text else 0


def counter_for(config: Config) -> Counter:
    """Reads the tokenizer of a local model; takes some 100 ms."""
    if config.endpoint:
        return estimate
    # Imported here: reading them takes longer than a remote model's whole start.
    from completion import models
    from completion.engine.tokenizer import Tokenizer

    try:
        return Tokenizer.load(models.resolve(config.model).folder).count
    except TandemError:
        return estimate
