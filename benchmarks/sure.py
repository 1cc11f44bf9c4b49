"""What showing only the likely start of a suggestion saves, against showing all of it.

    python -m benchmarks.sure [--rows FILE] [--only REPOSITORY...]

On answers of the real model at places of real files, as `benchmarks.display_gate --rows FILE` keeps
them; without a file some are asked for in this repository. A suggestion saves its characters less
the key that takes it, if all that is shown of it is what the file holds, else nothing. What was left
out follows when its start is taken, and saves keys in the same way.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import common
from benchmarks.display_gate import HERE, asked
from benchmarks.parts import suggestions
from benchmarks.parts.suggestions import Suggestion
from completion import models, sure
from completion.engine.tokenizer import Tokenizer
from tandem.config import Config

# Factors on log-probabilities, and what a look at a part costs.
TRIED = ((0.5, 0.5), (0.7, 0.5), (1.0, 0.0), (1.0, 0.25), (1.0, 0.5), (1.0, 1.0), (1.3, 0.5))


@dataclass(frozen=True)
class Place:
    """A suggestion with the ends of its tokens; `right` of its characters are what follows."""

    text: str
    tokens: Sequence[tuple[int, float]]
    may_end: Callable[[str], bool]
    right: int


def places(found: Sequence[Suggestion], tokenizer: Tokenizer) -> list[Place]:
    """Those whose text is made of as many tokens as were told: what was healed is not in it."""
    made = []
    for one in found:
        tokens = suggestions.ends(one, tokenizer)
        if tokens:
            made.append(Place(one.shown, tokens, suggestions.may_end(one), one.right))
    return made


@dataclass
class Saved:
    """Parts shown, those of them that are right, and the keys that taking these saves."""

    shown: int = 0
    taken: int = 0
    keys: int = 0


def saved(found: Sequence[Place], tried: tuple[float, float] | None) -> Saved:
    """With everything shown in likely parts, or as a whole (None)."""
    if tried is not None:
        sure.CALIBRATION, sure.LOOK = tried
    told = Saved()
    for one in found:
        shown = suggestions.walk(
            one.text, one.tokens, one.may_end, one.right, likely=tried is not None
        )
        for at, size, _ in shown:
            part = one.text[at : at + size].rstrip()
            told.shown += 1
            if one.right >= at + len(part):
                told.taken += 1
                told.keys += len(part) - 1
    return told


def main() -> None:
    parser = common.parser(__doc__ or "")
    parser.add_argument("--rows", type=Path, metavar="FILE", help="kept answers")
    parser.add_argument("--only", nargs="*", default=[], help="of these repositories")
    parser.add_argument("--model", default=Config().model)
    arguments = parser.parse_args()
    if arguments.rows is not None:
        if not arguments.rows.is_file():
            sys.exit(f"sure: there is no file {arguments.rows}.")
        found = suggestions.load(arguments.rows)
    else:
        found = asked(HERE, 5 if arguments.quick else 60, arguments.model, None)
    if arguments.only:
        found = [one for one in found if one.repository in arguments.only]
    shipped = sure.CALIBRATION, sure.LOOK
    tokenizer = Tokenizer.load(models.resolve(arguments.model).folder)
    those = places(found, tokenizer)
    if not those:
        sys.exit("sure: no suggestion has log-probabilities for its tokens.")
    whole = saved(those, None)
    rows: list[list[object]] = [["whole", *_told(whole, whole)]]
    figures: dict[str, object] = {"places": len(those), "whole": vars(whole)}
    for tried in dict.fromkeys((*TRIED, shipped)):
        told = saved(those, tried)
        mark = " (ours)" if tried == shipped else ""
        rows.append([f"{tried[0]}, {tried[1]}{mark}", *_told(told, whole)])
        figures[f"{tried[0]} {tried[1]}"] = vars(told)
    ours = saved(those, shipped)
    common.report(
        f"{len(those)} suggestions in likely parts; by factor on log-probabilities and cost of a look",
        ["", "shown", "right", "keys saved", "against whole"],
        rows,
        ("keys_saved_over_whole", f"{ours.keys / max(1, whole.keys):.2f}"),
        figures,
        arguments.json,
    )


def _told(one: Saved, whole: Saved) -> list[object]:
    more = one.keys / max(1, whole.keys) - 1
    return [one.shown, f"{one.taken} ({one.taken / one.shown:.0%})", one.keys, f"{more:+.1%}"]


if __name__ == "__main__":
    main()
