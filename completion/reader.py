"""What a streamed answer goes through until it is complete."""

from collections.abc import Callable
from dataclasses import dataclass

from completion import filters, prompt
from completion.indent import Dedent


@dataclass
class Reader:
    """`answer` is the text as it came. `finish(text, complete)` gives what of it may be shown."""

    lead: prompt.Lead
    dedent: Dedent
    stop: filters.StopRule
    finish: Callable[[str, bool], filters.Filtered]
    answer: str = ""

    def feed(self, piece: str) -> bool:
        """Take a piece; true when generation can stop."""
        self.answer += piece
        return self.stop.feed(self.dedent.feed(self.lead.feed(piece)))

    def first_line(self) -> str:
        """Once it is complete, and if something of it may be shown."""
        start = len(self.stop.text) - len(self.stop.text.lstrip())
        end = self.stop.text.find("\n", start)
        return self.finish(self.stop.text[:end], True).text if end >= 0 else ""
