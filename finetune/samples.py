"""One training sample: the very prompt that inference would send, and the answer it should get.

The prompt comes from `completion.prompt.fit`, so the model meets at the cursor what it learned; a
prefix that ends inside a token is healed as the engine does, by spelling the cut-off text out at
the start of the answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from completion.engine.tokenizer import Tokenizer
from completion.hole import Kind
from completion.prompt import Prompt, fit
from completion.templates import Snippet, Template

END = "<|endoftext|>"  # ends an answer in our template; other families have a token of their own
# Loss on the prefix, read after the suffix, is next-token training on code at no extra cost.
PREFIX_WEIGHT = 0.25
MIDDLE_WEIGHT = 1.0


def end_weight(kind: Kind, middle: str, suffix: str) -> float:
    """Loss on the token that ends `middle`: one in twenty of an answer, learned slowest.

    What weighs w has w times the odds in the end. Where a line ends, ending too early costs little
    and writing on is what models do wrong; within a line, and in an answer of several lines, an end
    too early takes the rest of it away. A short training wants all of these four times as high.
    """
    several = "\n" in middle.strip()
    if several:
        return 1.0
    ends_line = not suffix or suffix[0] in "\r\n"
    return 4.0 if kind != "block" and ends_line else 2.0


@dataclass(frozen=True)
class Sample:
    """Token ids [n] and the loss weight [n] of predicting each of them.

    `middle` is the index of the first token of the answer; the last token ends it.
    """

    ids: list[int]
    weights: list[float]
    middle: int
    kind: Kind
    cut: str


class Encoder:
    """Turns holes into samples for one model: its tokenizer, its template, its end of middle."""

    def __init__(self, tokenizer: Tokenizer, template: Template, end: str) -> None:
        self.tokenizer = tokenizer
        self.template = template
        self._count = tokenizer.count
        (self.end_of_middle,) = tokenizer.encode(end)
        self._kinds = {tokenizer.encode(token)[0] for token in template.kinds.values()}

    def rows(self) -> tuple[int, ...]:
        """The tokens that get a meaning of our own: their embeddings are trained too."""
        own = (self.tokenizer.encode(text)[0] for text in self.template.sentinels)
        return tuple(sorted({self.end_of_middle, *own}))

    def prompt(
        self,
        prefix: str,
        suffix: str,
        language: str,
        kind: Kind,
        budget: int,
        path: str = "",
        snippets: Sequence[Snippet] = (),
        for_snippets: int = 0,
    ) -> Prompt | None:
        """The prompt for a cursor between the two; None if there is a secret in reach."""
        fitted = fit(
            prefix + suffix,
            len(prefix),
            language,
            self.template,
            budget,
            self._count,
            True,
            kind,
            path,
            snippets,
            for_snippets,
        )
        return None if fitted is None or fitted.redacted else fitted.prompt

    def snippet_tokens(self, path: str, snippets: Sequence[Snippet]) -> int:
        """What snippets add to a prompt that names `path`."""
        named = self.template.render_path(path)
        shown = "".join(map(self.template.render_snippet, snippets))
        return self._count(named + shown) - self._count(named)

    def sample(
        self, built: Prompt, middle: str, kind: Kind, cut: str, end_weight: float = 1.0
    ) -> Sample:
        prompt_ids = self.tokenizer.encode(built.text)
        answer = self.tokenizer.encode(built.heal + self.template.neutralise(middle))
        answer.append(self.end_of_middle)
        begin = max((i for i, token in enumerate(prompt_ids) if token in self._kinds), default=-1)
        weights = [0.0] * (begin + 1) + [PREFIX_WEIGHT] * (len(prompt_ids) - begin - 1)
        return Sample(
            prompt_ids + answer,
            weights + [MIDDLE_WEIGHT] * (len(answer) - 1) + [end_weight],
            len(prompt_ids),
            kind,
            cut,
        )
