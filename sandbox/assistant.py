"""The code model as a help of repair: it orders candidates, and proposes some."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from completion.engine.generate import Decoder
from sandbox.repair import order
from sandbox.repair.change import Candidate
from sandbox.repair.infill import Infiller
from sandbox.repair.likelihood import Reader


@dataclass(frozen=True)
class Assistant:
    """A loaded model. For one thread at a time, as the decoder is."""

    name: str
    reader: Reader
    infiller: Infiller

    def ordered(
        self, candidates: Iterator[Candidate], sources: Mapping[str, str]
    ) -> Iterator[Candidate]:
        """See `order.ordered`."""
        return order.ordered(candidates, sources, self.reader)


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
