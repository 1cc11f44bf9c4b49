"""Answers in holes of real files: bad ones that are made, and the model's own."""

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.parts import fuzz_holes
from benchmarks.parts.fuzz_holes import Spot, cuts, read, spots
from completion.document import language_of
from completion.hole import hole_kind
from tandem.config import CompletionConfig

MAX_LINES = CompletionConfig().max_lines
Groups = Mapping[str, Sequence[Path]]


@dataclass(frozen=True)
class Answer:
    """`made` says how, `ended` whether the model ended it. `tokens`: where each ends in the text,
    in characters, and its log-probability in nats."""

    spot: Spot
    made: str
    text: str
    ended: bool
    tokens: tuple[tuple[int, float], ...] = ()


def made(groups: Groups, holes: int, seed: int) -> Iterator[Answer]:
    """So many holes, each with what a bad model may say there."""
    for group, count in _shares(groups, holes):
        rng = random.Random(f"{seed} {group}")
        others: list[str] = []
        for spot in spots(groups[group], count, rng):
            yield Answer(spot, *fuzz_holes.answer(spot, rng, others))
            others = [*others[-50:], spot.middle]


def asked(groups: Groups, holes: int, seed: int, name: str) -> Iterator[Answer]:
    """So many holes, each with the model's answer; "" where the editor would not ask."""
    from completion import models
    from completion.engine import shipped
    from completion.engine.request import Request
    from finetune import variant
    from finetune.cases import Case

    found = models.resolve(name)
    decoder = variant.load(found.folder, shipped=shipped.of(found))
    ours = variant.Variant(name, decoder, shipped.template_of(found))
    for group, count in _shares(groups, holes):
        for spot in cuts(groups[group], count, random.Random(f"{seed} {group}")):
            hole = hole_kind(spot.prefix + spot.suffix, spot.start, spot.language)
            case = Case(
                group, spot.path.name, spot.language, spot.prefix, spot.middle or "\n",
                spot.suffix, "fuzz", hole.kind,
            )  # fmt: skip
            built = ours.prompt(case)
            if built is None:
                yield Answer(spot, name, "", True)
                continue
            prompt = tuple(decoder.tokenizer.encode(built.text, begin=True))
            most = CompletionConfig().max_tokens
            request = Request(prompt, most, stop=built.stop, heal=built.heal, logprobs=0)
            text, ended, tokens = "", False, []
            for chunk in decoder.generate(request):
                text += chunk.text
                tokens += [(len(text), one.logprob) for one in chunk.logprobs]
                ended = chunk.finish == "stop"
                if text.count("\n") > MAX_LINES or (hole.kind == "line" and "\n" in text.strip()):
                    break
            yield Answer(spot, name, text, ended, tuple(tokens))


def _shares(groups: Groups, holes: int) -> Iterator[tuple[str, int]]:
    for number, group in enumerate(groups):
        yield group, holes // len(groups) + (number < holes % len(groups))


def save(one: Answer) -> str:
    spot = one.spot
    place = {"file": str(spot.path), "start": spot.start, "end": spot.end}
    return json.dumps({"v": 1, **place, "made": one.made, "text": one.text, "ended": one.ended,
                       "tokens": one.tokens})  # fmt: skip


def load(file: Path) -> Iterator[Answer]:
    """Those that were saved, of files that are as they were."""
    for line in file.read_text("utf-8").splitlines():
        kept = json.loads(line)
        assert kept["v"] == 1
        path = Path(kept["file"])
        spot = Spot(path, language_of(path), read(path), kept["start"], kept["end"])
        tokens = tuple((end, nats) for end, nats in kept["tokens"])
        yield Answer(spot, kept["made"], kept["text"], kept["ended"], tokens)
