"""What showing only the likely start of a suggestion saves, against showing all of it.

    python -m benchmarks.sure [--rows FILE] [--only REPOSITORY...]

On answers of the real model at places of real files, as `benchmarks.display_gate --rows FILE` keeps
them; without a file some are asked for in this repository. A suggestion saves its characters less
the key that takes it, if all that is shown of it is what the file holds, else nothing.
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

CALIBRATIONS = (0.5, 0.6, 0.7, 0.85, 1.0, 1.2)


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


def saved(found: Sequence[Place], calibration: float | None) -> tuple[int, int]:
    """How many are right as they are shown, and the keys that taking those saves."""
    taken = keys = 0
    for one in found:
        size = len(one.text)
        if calibration is not None:
            sure.CALIBRATION = calibration
            size = sure.sure_part(one.text, one.tokens, one.may_end)
        if one.right >= size:
            taken += 1
            keys += size - 1
    return taken, keys


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
    shipped = sure.CALIBRATION
    tokenizer = Tokenizer.load(models.resolve(arguments.model).folder)
    those = places(found, tokenizer)
    if not those:
        sys.exit("sure: no suggestion has log-probabilities for its tokens.")
    whole = saved(those, None)
    rows: list[list[object]] = [["whole", *_shares(whole, whole, len(those))]]
    figures: dict[str, object] = {"places": len(those), "whole": whole}
    for calibration in CALIBRATIONS:
        cut = saved(those, calibration)
        mark = " (ours)" if calibration == shipped else ""
        rows.append([f"start, {calibration}{mark}", *_shares(cut, whole, len(those))])
        figures[str(calibration)] = cut
    ours = saved(those, shipped)
    common.report(
        f"{len(those)} suggestions; the factor on log-probabilities by row",
        ["shown", "right", "keys saved", "against whole"],
        rows,
        ("keys_saved_over_whole", f"{ours[1] / max(1, whole[1]):.2f}"),
        figures,
        arguments.json,
    )


def _shares(one: tuple[int, int], whole: tuple[int, int], places: int) -> list[str]:
    return [f"{one[0] / places:.1%}", str(one[1]), f"{one[1] / max(1, whole[1]) - 1:+.1%}"]


if __name__ == "__main__":
    main()
