"""Chat samples to replay in training: questions of ours, answered by the base model itself.

One model serves completion and chat. Trained on code alone it would forget to chat; its own
answers, mixed in, keep it where it was (self-distillation as in Yang et al. 2024,
arXiv 2402.13669; the trainer holds the model to the base's distribution over them). Answers of a
model that was tuned already lead to where it goes astray; the base's distribution there shows the
way back (Agarwal et al. 2023, arXiv 2306.13649). None of the questions is one of `chat_check`'s.

    python -m finetune.chat OUT [--count N] [--model FOLDER]      OUT gets a `SampleSet`
"""

import argparse
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from completion.engine.tokenizer import Tokenizer
from finetune import device
from finetune.cases import Case
from finetune.store import SampleSet

ANSWER_TOKENS = 192
BATCH = 16
TEMPERATURE = 0.7  # variety: greedy answers of a small model are much alike
# What training on code unlearns first is when to end: one token of an answer, so it weighs more.
# The loss is a divergence, which has its minimum at the base's own odds whatever it weighs.
END_WEIGHT = 16.0

_ABOUT_CODE = (
    "Explain what this code does:\n\n{code}",
    "Explain this code in two sentences.\n\n{code}",
    "Write a docstring for this code:\n\n{code}",
    "Write a unit test for this code:\n\n{code}",
    "How could this code be made more readable?\n\n{code}",
    "What could go wrong here?\n\n{code}",
    "Summarise in one sentence:\n\n{code}",
    "Add comments to this code:\n\n{code}",
)
_TOPICS = (
    *("a linked list", "recursion", "a virtual environment", "unit testing", "a decorator"),
    *("an iterator", "a race between two threads", "a database index", "caching", "a REST API"),
    *("version control", "a compiler", "big O notation", "an exception", "a regular expression"),
    *("a binary search", "JSON", "a Docker container", "type hints", "a closure", "an event loop"),
    *("photosynthesis", "gravity", "a good night's sleep", "the water cycle", "a budget"),
)
_ABOUT_TOPICS = (
    "What is {topic}?",
    "Explain {topic} to a beginner.",
    "Give me an example of {topic}.",
    "Why does {topic} matter? Answer briefly.",
    "List three facts about {topic}.",
)
# Where an answer ends is what training on code unlearns first, and a brief one ends in time.
_MANNERS = ("", " Answer in one sentence.", " Be brief.")


def questions(cases: Sequence[Case], count: int, seed: int) -> Iterator[str]:
    """Two thirds about code that stands before a hole, one third about general topics."""
    rng = random.Random(seed)
    for number in range(count):
        if number % 3 == 2 or not cases:
            asked = rng.choice(_ABOUT_TOPICS).format(topic=rng.choice(_TOPICS))
            yield asked + rng.choice(_MANNERS)
        else:
            case = rng.choice(cases)
            code = "\n".join((case.prefix[-600:] + case.middle).split("\n")[1:][-14:])
            asked, _, rest = rng.choice(_ABOUT_CODE).partition("\n\n")
            yield f"{asked}{rng.choice(_MANNERS)}\n\n{rest.format(code=code)}"


def replay(
    folder: Path,
    asked: Sequence[str],
    seed: int = 0,
    temperature: float = TEMPERATURE,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> SampleSet:
    """Answers of the model in `folder` as samples; the loss is on the answers and their ends.

    An answer that did not end within ANSWER_TOKENS is kept without an end.
    """
    import torch
    from transformers import AutoModelForCausalLM

    tokenizer = Tokenizer.load(folder)
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=_width())
    prompts = [
        tokenizer.encode(tokenizer.chat([{"role": "user", "content": text}])) for text in asked
    ]
    (end,) = {model.config.eos_token_id}
    torch.manual_seed(seed)
    rows = []
    for at in range(0, len(prompts), BATCH):
        on_progress(at, len(prompts))
        batch = prompts[at : at + BATCH]
        longest = max(map(len, batch))
        padded = torch.tensor([[end] * (longest - len(ids)) + ids for ids in batch])
        mask = torch.tensor([[0] * (longest - len(ids)) + [1] * len(ids) for ids in batch])
        made = model.generate(
            padded,
            attention_mask=mask,
            max_new_tokens=ANSWER_TOKENS,
            do_sample=True,
            temperature=temperature,
            top_p=0.95,
            top_k=0,
            pad_token_id=end,
        )
        for ids, answer in zip(batch, made[:, longest:].tolist(), strict=True):
            kept = answer[: answer.index(end) + 1] if end in answer else answer
            weights = [0.0] * len(ids) + [END_WEIGHT if token == end else 1.0 for token in kept]
            rows.append((ids + kept, weights, len(ids)))
    on_progress(len(prompts), len(prompts))
    return SampleSet.of(rows, replayed=True)


def _width() -> Any:
    import torch

    return device.width("auto", torch.device("cpu"))


def main() -> None:
    from completion import models
    from finetune.held_out import general_cases

    parser = argparse.ArgumentParser(description="Chat samples to replay.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=192)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--model", type=Path, help="who answers; else the base")
    parser.add_argument("--temperature", type=float, default=TEMPERATURE)
    given = parser.parse_args()
    asked = list(questions(general_cases(given.count, given.seed), given.count, given.seed))
    given.out.mkdir(parents=True)
    folder = given.model or models.pull(models.DEFAULT).folder
    replay(folder, asked, given.seed, given.temperature, _show).save(given.out)


def _show(done: int, total: int) -> None:
    print(f"\rChat {done}/{total}", end="\n" if done == total else "", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
