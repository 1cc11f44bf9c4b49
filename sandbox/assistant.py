"""The code model as a help of repair: it orders candidates, and proposes some."""

import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from completion.engine.generate import Decoder
from sandbox.fixrun import Order
from sandbox.repair import order
from sandbox.repair.change import Candidate
from sandbox.repair.infill import Infiller
from sandbox.repair.likelihood import Reader
from tandem import config
from tandem.errors import ModelError

UNREAD = 24  # candidates that are not ordered
BLOCKS = (64, 128, 256, 512)  # candidates that are ordered together, one block after the other
# Reading a candidate must cost less than this share of trying it: in order, the right one of a block
# comes earlier, by less than half the block.
WORTH = 0.5


@dataclass(frozen=True)
class Assistant:
    """A loaded model. For one thread at a time, as the decoder is."""

    name: str
    reader: Reader
    infiller: Infiller

    def ordered(
        self,
        plain: Iterator[Candidate],
        mixed: Iterator[Candidate],
        sources: Mapping[str, str],
        trying_s: Callable[[], float],
    ) -> Iterator[Candidate]:
        """`plain` are the templates' candidates, `mixed` the same with the model's own; `trying_s`
        tells the seconds that one takes to be tried, infinity if none was.

        The first ones come as the templates have them, to be tried while the model reads. Then
        small blocks are ordered first: on a CPU a large one takes half a minute. Where trying is
        so quick that reading takes longer, the others come as the templates have them.
        """
        first = list(itertools.islice(plain, UNREAD))
        yield from first
        known = {(one.path, one.start, one.end, one.text) for one in first}
        rest = (one for one in mixed if (one.path, one.start, one.end, one.text) not in known)
        reading_s = 0.0
        for size in itertools.chain(BLOCKS, itertools.repeat(BLOCKS[-1])):
            block = list(itertools.islice(rest, size))
            if not block:
                return
            if reading_s > WORTH * trying_s():
                yield from block
                continue
            began = time.monotonic()
            block = list(order.ordered(block, sources, self.reader))
            reading_s = (time.monotonic() - began) / len(block)
            yield from block


def of(asked: Order, note: Callable[[str], None]) -> Assistant | None:
    """The model that a run's repository is set to; None if the run wants none, and where there is
    none: repair works without, and `note` gets that line."""
    if not asked.model:
        return None
    try:
        return load(config.load(Path(asked.repository)).model)
    except ModelError as error:
        note(f"without a model: {error}")
        return None


def load(name: str, threads: int = 1) -> Assistant:
    """The model of that name, or the folder. Raises ModelError if there is none, or it cannot be
    read; pulls nothing."""
    from completion import models
    from completion.engine import shipped
    from completion.templates import templates

    found = models.resolve(name)
    decoder = Decoder.load(found.folder, shipped=shipped.of(found), threads=threads)
    template = templates()[shipped.template_of(found)]
    return Assistant(found.name, Reader(decoder), Infiller(decoder, template))
