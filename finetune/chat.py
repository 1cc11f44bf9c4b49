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
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from completion.engine.tokenizer import Tokenizer
from finetune.cases import Case

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
    *("a tuple", "a dictionary", "a queue", "a stack", "a generator", "a lambda", "a class"),
    *("inheritance", "an interface", "a pointer", "garbage collection", "a thread", "a process"),
    *("a mutex", "a deadlock", "DNS", "TCP", "a web server", "a cookie", "encryption", "a hash"),
    *("SQL", "a join", "a transaction", "a migration", "logging", "a debugger", "a linter"),
    *("continuous integration", "code review", "refactoring", "technical debt", "a framework"),
    *("a command line", "an environment variable", "a file descriptor", "a byte", "Unicode"),
    *("floating point numbers", "a random seed", "sorting", "a tree", "a graph", "a matrix"),
    *("machine learning", "a neural network", "a spreadsheet", "an operating system", "Linux"),
    *("photosynthesis", "gravity", "a good night's sleep", "the water cycle", "a budget"),
    *("a volcano", "the moon", "a rainbow", "an earthquake", "a whale", "a bee", "bread", "tea"),
    *("chess", "football", "a symphony", "a novel", "a poem", "the Roman Empire", "democracy"),
    *("inflation", "a contract", "a vaccine", "the heart", "a bicycle", "a bridge", "Paris"),
    *("Japan", "the Pacific Ocean", "a desert", "winter", "friendship", "patience", "a job"),
)
_ABOUT_TOPICS = (
    "What is {topic}?",
    "Explain {topic} to a beginner.",
    "Give me an example of {topic}.",
    "Why does {topic} matter? Answer briefly.",
    "List three facts about {topic}.",
    "Write a short poem about {topic}.",
    "What is a common mistake about {topic}?",
    "Write two sentences about {topic}.",
    "Name three things that go with {topic}.",
    "Is {topic} hard to understand? Yes or no, and why.",
    "Ask me a question about {topic}.",
    "Write an email to a colleague about {topic}.",
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


def encoded(tokenizer: Tokenizer, asked: Iterable[str]) -> list[list[int]]:
    """The prompts of questions as token ids, up to where the answer begins."""
    chats = ([{"role": "user", "content": text}] for text in asked)
    return [tokenizer.encode(tokenizer.chat(chat)) for chat in chats]


def main() -> None:
    import torch
    from transformers import AutoModelForCausalLM

    from completion import models
    from finetune import device
    from finetune.held_out import general_cases
    from finetune.replay import TEMPERATURE, replay

    parser = argparse.ArgumentParser(description="Chat samples to replay.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=192)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--model", type=Path, help="who answers; else the base")
    parser.add_argument("--temperature", type=float, default=TEMPERATURE)
    given = parser.parse_args()
    asked = questions(general_cases(given.count, given.seed), given.count, given.seed)
    folder = given.model or models.pull(models.DEFAULT).folder
    prompts = encoded(Tokenizer.load(folder), asked)
    cpu = torch.device("cpu")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=device.width("auto", cpu))
    given.out.mkdir(parents=True)
    replay(model, prompts, given.seed, given.temperature, _show).save(given.out)


def _show(done: int, total: int) -> None:
    print(f"\rChat {done}/{total}", end="\n" if done == total else "", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
