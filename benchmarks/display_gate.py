"""What the display gate hides, and what that costs: learned on some repositories, tried on others.

    python -m benchmarks.display_gate --train FOLDER... --held-out FOLDER... [--rows FILE] [--write]

The real model is asked at places of real files (parts/suggestions.py); a suggestion counts as
accepted if all of it, or its first line, is what the file holds there. `--rows` keeps the answers,
or takes those that it holds. `--write` makes the result the shipped gate. Without folders: this
repository's own, which is a small sample.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from benchmarks import common
from benchmarks.parts import suggestions
from benchmarks.parts.suggestions import Suggestion
from completion import display, models
from completion.display import Gate, features
from completion.display_learning import Row, judge, learn
from completion.document import language_of
from completion.engine import shipped
from completion.engine.tokenizer import Tokenizer
from completion.hole import hole_kind
from completion.scope import scope_at
from finetune import variant
from tandem.config import Config

SEED = 7
HERE = [common.REPOSITORY / name for name in ("completion", "tests", "finetune", "lsp")]


def asked(folders: Sequence[Path], count: int, model: str, file: Path | None) -> list[Suggestion]:
    """The suggestions of a file, or new ones, which go there."""
    if file is not None and file.exists():
        return suggestions.load(file)
    found = models.resolve(model)
    decoder = variant.load(found.folder, shipped=shipped.of(found), threads=1)
    one = variant.Variant(found.name, decoder, shipped.template_of(found))
    rows = []
    for row in suggestions.ask(folders, one, count, SEED):
        rows.append(row)
        if len(rows) % 100 == 0:
            print(f"{len(rows)} suggestions, {row.repository}", file=sys.stderr, flush=True)
    if file is not None:
        file.write_text("".join(f"{suggestions.save(row)}\n" for row in rows), "utf-8")
    return rows


def rows_of(found: Sequence[Suggestion]) -> list[Row]:
    """With features as the session would know them; outcomes are those earlier in the stretch.

    Who accepts is behind what was accepted, and who types through a suggestion sees no new one.
    """
    rows = []
    for key, stretch in groupby(found, lambda one: (one.repository, one.file, one.stretch)):
        last: list[str] = []
        before: Suggestion | None = None
        for one in stretch:
            if before is not None and (one.offset < before.behind or one.rests_of(before)):
                continue
            before = one
            prefix, suffix = one.text
            text, language = prefix + suffix, language_of(Path(one.file))
            known = features(
                one.shown,
                text,
                len(prefix),
                hole_kind(text, len(prefix), language),
                language,
                one.logprobs,
                scope_at(text, len(prefix), language).place,
                last,
            )
            rows.append(Row(known, one.accepted, key))
            last.insert(0, "accepted" if one.accepted else "ignored")
    return rows


def run(arguments: argparse.Namespace) -> None:
    learned = arguments.train or HERE[:2]
    held_out = arguments.held_out or HERE[2:]
    count = arguments.count or (40 if arguments.quick else 350)
    began = time.perf_counter()
    found = asked([*learned, *held_out], count, arguments.model, arguments.rows)
    minutes = (time.perf_counter() - began) / 60
    tokenizer = Tokenizer.load(models.resolve(arguments.model).folder)
    # What is judged is what is shown.
    found = [part for one in found for part in suggestions.parts(one, tokenizer)]
    names = {folder.name for folder in held_out}
    train = rows_of([one for one in found if one.repository not in names])
    test = [one for one in found if one.repository in names]
    how = {
        "how": "replays",
        "repositories": sorted({one.repository for one in found} - names),
        "held_out": sorted(names),
        "model": arguments.model,
        "on": time.strftime("%Y-%m-%d"),
    }
    held = rows_of(test)
    gate = learn(train, held, how, None)
    table = [_line("all held out", gate, held)]
    for name, its in groupby(test, lambda one: one.repository):
        table.append(_line(name, gate, rows_of(list(its))))
    without = [
        Row({k: v for k, v in row.features.items() if not _is_model(k)}, row.characters, row.group)
        for row in held
    ]
    table.append(_line("all, the model's chances unknown", gate, without))
    if arguments.write:
        gate.save(display.SHIPPED)
    common.report(
        f"The display gate, learned on {len(train)} suggestions in {minutes:.0f} minutes",
        ["held out", "shown", "accepted", "hidden", "accepted of shown", "95%", "lost"],
        table,
        ("display_gate_gain", f"{gate.figures.gain:+.0%} for {gate.figures.lost:.1%} lost"),
        {"gate": vars(gate.figures), "trained": dict(gate.trained)},
        arguments.json,
    )


def _is_model(name: str) -> bool:
    return name.startswith(("logprob_", "line_min", "line_chance", "tokens"))


def _line(name: str, gate: Gate, rows: Sequence[Row]) -> list[str]:
    found = judge(gate, rows)
    return [
        name,
        str(found.shown),
        f"{found.accepted / found.shown:.0%}",
        f"{found.hidden / found.shown:.0%}",
        f"{found.gain:+.0%}",
        f"{found.low:+.0%} to {found.high:+.0%}",
        f"{found.lost:.1%}",
    ]


def main() -> None:
    parser = common.parser(__doc__ or "")
    parser.add_argument("--train", type=Path, nargs="+", metavar="FOLDER", help="repositories")
    parser.add_argument("--held-out", type=Path, nargs="+", metavar="FOLDER", help="others")
    parser.add_argument("--count", type=int, default=0, help="suggestions of each")
    parser.add_argument("--rows", type=Path, metavar="FILE", help="keep, or take, the answers")
    parser.add_argument("--write", action="store_true", help="make it the shipped gate")
    parser.add_argument("--model", default=Config().model, help="of the store, or a folder")
    run(parser.parse_args())


if __name__ == "__main__":
    main()
