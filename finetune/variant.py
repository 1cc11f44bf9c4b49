"""One way to fill holes: a model, a template, and what of a case it may see.

An answer is made by the code that makes it in the editor: the prompt by `samples.Encoder`, the
tokens by the engine's `Decoder`, greedy and with healing; the same stop rule and filters decide
what of it is shown.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from completion import filters
from completion.asking import FILTERED_SUFFIX
from completion.engine.request import Request
from completion.hole import hole_kind
from completion.indent import Dedent
from completion.prompt import Prompt
from completion.templates import templates
from finetune.cases import Case
from finetune.samples import END, Encoder
from tandem.config import CompletionConfig

if TYPE_CHECKING:
    from completion.engine.generate import Decoder
    from completion.engine.sample import LogitsHook

# To see where a model ends its answer we let it write on for so long; more than is ever shown.
RAW_TOKENS = 96


def load(folder: Path, **options: Any) -> "Decoder":
    """`Decoder.load`, with torch imported as the engine imports it. Raises ModelError."""
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")  # see engine/served.py
    from completion.engine.generate import Decoder

    return Decoder.load(folder, **options)


@dataclass(frozen=True)
class Answer:
    """What a model wrote into a hole.

    `raw` is its own text, `ended` whether it ended that itself within RAW_TOKENS and one line
    more than the truth has; `shown` is what the editor would show, `reason` why nothing.
    `loss` is in nats a token of the true middle, `end_loss` of the end-of-middle token after it,
    both with the truth before them; `tokens` is the length of the true middle.
    """

    raw: str
    ended: bool
    shown: str
    reason: str
    loss: float
    end_loss: float
    tokens: int


@dataclass(frozen=True)
class Variant:
    """`suffix`, `snippets` and `path` say what of a case goes into the prompt, where the
    template has a place for it. `prompt_tokens` is the budget; up to `context_tokens` more are
    for snippets, so that they take nothing from the text around the cursor."""

    name: str
    decoder: "Decoder"
    template: str
    suffix: bool = True
    snippets: bool = True
    path: bool = True
    prompt_tokens: int = CompletionConfig().prompt_tokens
    context_tokens: int = 0
    # (case, prompt's tokens) -> what changes the model's distribution, made anew for each use.
    hooks: "Callable[[Case, tuple[int, ...]], Sequence[LogitsHook]]" = lambda case, prompt: ()

    @cached_property
    def encoder(self) -> Encoder:
        tokenizer, eos = self.decoder.tokenizer, self.decoder.model.config.eos_ids
        end = END if tokenizer.count(END) == 1 else tokenizer.name_of(min(eos))
        return Encoder(tokenizer, templates()[self.template], end)

    def prompt(self, case: Case) -> Prompt | None:
        """None where the editor would not ask: a secret in reach, nothing before the cursor, or
        more than the model's context holds."""
        room = self.decoder.context - RAW_TOKENS - 16
        path, snippets = case.path if self.path else "", case.snippets if self.snippets else ()
        most = max(room, self.decoder.context // 2)
        for_text = min(self.prompt_tokens, most)
        built = self.encoder.prompt(
            case.prefix,
            case.suffix if self.suffix else "",
            case.language,
            case.kind,
            for_text,
            path,
            snippets,
            min(self.context_tokens, most - for_text),
        )
        if built is None:
            return None
        before = len(self._tokens(built))
        needed = before + max(RAW_TOKENS, len(self._truth(case, built)))
        return built if before and needed <= self.decoder.context else None

    def answer(self, case: Case, built: Prompt) -> Answer:
        """The model's greedy answer for `case`, whose prompt is `built`."""
        raw, ended, shown, reason = self._generate(case, built)
        from completion.engine import scoring

        prompt = self._tokens(built)
        hooks = self.hooks(case, prompt)
        losses = scoring.losses(self.decoder, prompt, self._truth(case, built), hooks)
        middle = losses[:-1]
        return Answer(raw, ended, shown, reason, sum(middle) / len(middle), losses[-1], len(middle))

    def _tokens(self, built: Prompt) -> tuple[int, ...]:
        return tuple(self.decoder.tokenizer.encode(built.text, begin=True))

    def _truth(self, case: Case, built: Prompt) -> list[int]:
        """What the model should have said: the healed text, the middle, the end."""
        sample = self.encoder.sample(built, case.middle, case.kind, case.cut)
        return sample.ids[sample.middle :]

    def _generate(self, case: Case, built: Prompt) -> tuple[str, bool, str, str]:
        """(raw, ended, shown, reason); stops as soon as all of them are known."""
        options = CompletionConfig()
        offset, text = len(case.prefix), case.prefix + case.suffix
        hole = hole_kind(text, offset, case.language)
        after = case.suffix[:FILTERED_SUFFIX]
        dedent = Dedent(case.prefix, hole)
        stop = filters.StopRule(case.prefix, after, hole, options.max_lines)
        request = Request(self._tokens(built), RAW_TOKENS, stop=built.stop, heal=built.heal)
        raw, ended, in_time = "", False, True
        hooks = self.hooks(case, request.prompt)
        for chunk in self.decoder.generate(request, hooks=hooks):
            raw += chunk.text
            in_time &= chunk.usage.completion_tokens <= options.max_tokens
            if in_time and not stop.stopped:
                stop.feed(dedent.feed(chunk.text))
            ended = chunk.finish == "stop"
            if (stop.stopped or not in_time) and raw.count("\n") > case.middle.count("\n"):
                break
        complete = stop.stopped or (ended and in_time)
        kept = filters.finish(stop.text, case.prefix, case.suffix, hole, complete)
        return raw, ended, kept.text, kept.reason
