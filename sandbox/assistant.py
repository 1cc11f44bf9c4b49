"""The code model as a help of repair: it orders candidates, and proposes some."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from completion.engine.generate import Decoder
from sandbox.repair import order
from sandbox.repair.change import Candidate
from sandbox.repair.infill import Infiller
from sandbox.repair.likelihood import Reader

UNREAD = 24  # candidates that are not ordered
BLOCKS = (64, 128, 256, 512)  # candidates that are ordered together, one block after the other


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
    ) -> Iterator[Candidate]:
        """`plain` are the templates' candidates, `mixed` the same with the model's own.

        The first ones come as the templates have them, to be tried while the model reads. Then
        small blocks are ordered first: on a CPU a large one takes half a minute.
        """
        first = list(itertools.islice(plain, UNREAD))
        yield from first
        known = {(one.path, one.start, one.end, one.text) for one in first}
        rest = (one for one in mixed if (one.path, one.start, one.end, one.text) not in known)
        for size in itertools.chain(BLOCKS, itertools.repeat(BLOCKS[-1])):
            block = list(itertools.islice(rest, size))
            if not block:
                return
            yield from order.ordered(block, sources, self.reader)


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
