"""Did a tuned model forget how to chat? Held against its own base on a few fixed questions.

One model serves completion and chat, and code alone would teach it to drop the latter. The base
answers the questions greedily; the tuned model is asked how likely it finds those answers (how
far it has moved), and answers itself (whether its answers end, say something, do not go round in
loops and hold no sentinel of the completion prompt).
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F

if TYPE_CHECKING:
    from completion.engine.generate import Decoder

ANSWER_TOKENS = 96
# Nats a token by which the tuned model's distribution may differ from the base's on its answers.
KL_MARGIN = 0.30
# Of the questions, how many more than with the base may go wrong in one way.
SLACK = 2
# A piece that stands this often in a row, over so many tokens at least, is a loop.
REPEATS, LOOP_TOKENS = 4, 16
_LONGEST_PIECE = 24

QUESTIONS = (
    "Say hello in one short sentence.",
    "What is the capital of France? Answer in one sentence.",
    "How many days does a leap year have?",
    "Name three programming languages.",
    "What does HTTP stand for?",
    "Explain in one sentence what a hash table is.",
    "What is the difference between a list and a tuple in Python? Two sentences.",
    "Which Python keyword starts a function definition?",
    "Write a Python function that adds two numbers.",
    "Write a one-line docstring for this function:\n\ndef area(r):\n    return 3.14159 * r * r",
    "Explain this function in one sentence:\n\ndef f(xs):\n    return [x for x in xs if x > 0]",
    "What does this print?\n\nprint(len('tandem'))",
    "Find the bug:\n\ndef last(items):\n    return items[len(items)]",
    "Write a unit test for this function:\n\ndef double(x):\n    return 2 * x",
    "Give this variable a better name and say why: d = 86400  # seconds in a day",
    "Rewrite as a list comprehension:\n\nout = []\nfor n in numbers:\n    out.append(n * n)",
    "What does `git stash` do? One sentence.",
    "How do I read a text file in Python? Show the code.",
    "What is a race condition? One sentence.",
    "Write a commit message for: fixed a crash when the config file is empty.",
    "Is 17 a prime number? Answer yes or no, and why.",
    "Translate to French: Good morning.",
    "What does the error 'IndexError: list index out of range' mean?",
    "Write a haiku about compilers.",
)


@dataclass(frozen=True)
class Reply:
    """Token ids of an answer without the token that ended it; `end` is that, None at the limit."""

    ids: tuple[int, ...]
    end: int | None


@dataclass(frozen=True)
class Faults:
    """Of a model's answers: how many did not end, were empty, looped, or held a sentinel."""

    endless: int
    empty: int
    loops: int
    sentinels: int


@dataclass(frozen=True)
class Result:
    """`kl` is the mean Kullback-Leibler divergence of the tuned model from the base, in nats a
    token of the base's answers; `loss` and `base_loss` are those models' on these answers."""

    questions: int
    kl: float
    loss: float
    base_loss: float
    faults: Faults
    base_faults: Faults

    @property
    def kept(self) -> bool:
        """Whether chat is as it was, within KL_MARGIN and SLACK."""
        return not self.reasons

    @property
    def reasons(self) -> list[str]:
        found = []
        if not self.kl <= KL_MARGIN:
            found.append(f"KL {self.kl:.3f} nats a token, at most {KL_MARGIN} is allowed")
        for name, count in asdict(self.faults).items():
            before = asdict(self.base_faults)[name]
            allowed = 0 if name == "sentinels" else before + SLACK
            if count > allowed:
                found.append(f"{name}: {count} of {self.questions}, {before} with the base")
        return found

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "kept": self.kept, "reasons": self.reasons}


def check(
    base: "Decoder",
    tuned: "Decoder",
    questions: Sequence[str] = QUESTIONS,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Result:
    """Both must have the base's tokenizer. Raises EngineError if it has no chat template."""
    divergences, losses, base_losses = [], [], []
    replies: list[Reply] = []
    references: list[Reply] = []
    for done, question in enumerate(questions):
        on_progress(done, len(questions))
        tokenizer = base.tokenizer
        prompt = tokenizer.encode(tokenizer.chat([{"role": "user", "content": question}]))
        reference = reply(base, prompt)
        references.append(reference)
        replies.append(reply(tuned, prompt))
        answer = reference.ids if reference.end is None else (*reference.ids, reference.end)
        expected, found = (_log_probabilities(one, prompt, answer) for one in (base, tuned))
        divergences.append(F.kl_div(found, expected, reduction="none", log_target=True).sum(-1))
        losses.append(F.nll_loss(found, torch.tensor(answer), reduction="none"))
        base_losses.append(F.nll_loss(expected, torch.tensor(answer), reduction="none"))
    on_progress(len(questions), len(questions))
    return Result(
        len(questions),
        float(torch.cat(divergences).mean()),
        float(torch.cat(losses).mean()),
        float(torch.cat(base_losses).mean()),
        faults(tuned, replies),
        faults(base, references),
    )


@torch.inference_mode()
def reply(decoder: "Decoder", prompt: Sequence[int]) -> Reply:
    """The greedy answer, up to the first special token or ANSWER_TOKENS."""
    model, special = decoder.model, decoder.tokenizer.special_ids
    cache = model.new_cache()
    hidden = model.forward(prompt, cache)[-1:]
    ids: list[int] = []
    while len(ids) < ANSWER_TOKENS:
        token = int(model.logits(hidden)[0].argmax())
        if token in special or token in model.config.eos_ids:
            return Reply(tuple(ids), token)
        ids.append(token)
        hidden = model.forward((token,), cache)
    return Reply(tuple(ids), None)


def faults(decoder: "Decoder", replies: Sequence[Reply]) -> Faults:
    ends = decoder.model.config.eos_ids
    return Faults(
        endless=sum(one.end is None for one in replies),
        empty=sum(not decoder.tokenizer.decode(one.ids).strip() for one in replies),
        loops=sum(is_loop(one.ids) for one in replies),
        sentinels=sum(one.end is not None and one.end not in ends for one in replies),
    )


def is_loop(ids: Sequence[int]) -> bool:
    """Whether the answer ends in one piece said again and again."""
    for size in range(1, _LONGEST_PIECE + 1):
        length = max(REPEATS * size, LOOP_TOKENS)
        tail = ids[-length:]
        if len(tail) == length and all(a == b for a, b in zip(tail, tail[size:], strict=False)):
            return True
    return False


@torch.inference_mode()
def _log_probabilities(
    decoder: "Decoder", prompt: Sequence[int], answer: Sequence[int]
) -> torch.Tensor:
    """Of the whole vocabulary, for each token of the answer [n, vocabulary]."""
    model = decoder.model
    hidden = model.forward([*prompt, *answer[:-1]], model.new_cache())
    return model.logits(hidden[len(prompt) - 1 :]).log_softmax(-1)
