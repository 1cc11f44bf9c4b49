"""What several candidates bring, and cost: ways to make them, ways to choose among them.

    python -m benchmarks.candidates [--files FOLDER...] [--n HOLES] [--reads-on] [--json FILE]

Holes in Python repositories, prompts without pieces of other files. A gain is in exact matches
over the greedy answer's, paired, with a 95% bootstrap interval over files; cost is the median ratio
to the greedy answer's own time, prompts read before, in passes that only these requests share.
"""

import argparse
import json
import random
import statistics
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks import common
from benchmarks.parts import gathered
from completion import models
from completion.engine import shipped
from completion.rank import Candidate, order
from finetune import variant
from finetune.bootstrap import Interval, difference
from finetune.held_out import repository_cases
from tandem import progress

SEED = 7
Row = dict[str, Any]
# A way: which of a row's candidates, by name of its maker, and which of its times it takes.
FORKS = {"branch, closest call": 1, "branch, 2 closest": 2, "branch, 3 closest": 3, "branch, 6": 6}
MARGINS = (0.5, 1.0)


def candidates(row: Row, maker: str, most: int, margin: float = 99.0) -> list[int]:
    """Indices into the row's candidates, the greedy one first; -1s left out."""
    found = row["ways"][maker][:most]
    if maker == "branch":
        found = [i for i, m in zip(found, row["margins"], strict=False) if m < margin]
    return [i for i in dict.fromkeys([*row["ways"]["greedy"], *found]) if i >= 0]


def chosen(row: Row, indices: Sequence[int], score: Callable[[Row], float]) -> bool:
    """Whether the best by score is what stood there."""
    texts = [row["candidates"][i] for i in indices]
    return bool(texts) and max(texts, key=score)["exact"]


def by_rank(row: Row, indices: Sequence[int]) -> bool:
    """As `completion.rank` chooses by default."""
    found = [row["candidates"][i] for i in indices]
    given = [
        Candidate(one["shown"], (one["logprob"],), None, one["parses"], one["unknown"])
        for one in found
    ]
    ranked = order(given)
    return bool(ranked) and found[given.index(ranked[0].candidate)]["exact"]


CHOICES: dict[str, Callable[[Row], float]] = {
    "likelihood": lambda c: c["logprob"],
    "a token's": lambda c: c["logprob"] / c["tokens"],
    "suffix": lambda c: c["suffix_near"],
    "likelihood + suffix": lambda c: c["logprob"] + c["suffix_near"],
}


def ways(rows: Sequence[Row]) -> Iterator[tuple[str, list[list[int]], float]]:
    """Name, each row's candidates, and the median share of the greedy answer's time it adds."""
    for name, most in FORKS.items():
        yield name, [candidates(row, "branch", most) for row in rows], cost(rows, "branch", most)
    for margin in MARGINS:
        held = [candidates(row, "branch", 1, margin) for row in rows]
        close = [row for row in rows if row["margins"] and row["margins"][0] < margin]
        name = f"branch, closest below {margin}: {len(close) / len(rows):.0%} of holes"
        yield name, held, cost(close, "branch", 1)
    for maker in rows[0]["ways"]:
        if maker not in ("greedy", "branch"):
            yield maker, [candidates(row, maker, 8) for row in rows], cost(rows, maker, 8)


def cost(rows: Sequence[Row], maker: str, most: int) -> float:
    """Those that share passes are counted in full, so that of a part of them is at most this."""
    names = [f"branch{start}" for start in gathered.TOGETHER if start < most]
    parts = names if maker == "branch" else [maker]
    ratios = [
        sum(row["ms"].get(part, 0.0) for part in parts) / row["ms"]["greedy"]
        for row in rows
        if row["ms"]["greedy"]
    ]
    return statistics.median(ratios) if ratios else 0.0


def table(rows: Sequence[Row]) -> tuple[list[list[object]], dict[str, Any]]:
    files = [(row["repository"], row["path"]) for row in rows]
    greedy = [float(chosen(row, candidates(row, "greedy", 1), lambda c: 0)) for row in rows]
    choices = [name for name in CHOICES if "suffix" not in name or "suffix" in rows[0]["ms"]]
    shown: list[list[object]] = [["greedy", "1.0", "", *[f"{sum(greedy):.0f}"] * 2, "", ""]]
    figures: dict[str, Any] = {"holes": len(rows), "greedy exact": sum(greedy), "ways": {}}
    for name, held, ratio in ways(rows):
        best = [any(r["candidates"][i]["exact"] for i in of) for r, of in zip(rows, held)]  # noqa: B905
        picks = {
            choice: [float(chosen(r, of, CHOICES[choice])) for r, of in zip(rows, held)]  # noqa: B905
            for choice in choices
        }
        picks["rank"] = [float(by_rank(r, of)) for r, of in zip(rows, held)]  # noqa: B905
        gain = difference(greedy, picks["rank"], files)
        others = ", ".join(f"{choice} {sum(v):.0f}" for choice, v in picks.items())
        mean = statistics.mean(map(len, held))
        shown.append([name, f"{mean:.1f}", f"+{ratio:.2f}", sum(best), *_gain(picks, gain), others])
        figures["ways"][name] = {
            "candidates": mean,
            "added_time": ratio,
            "oracle": sum(best),
            "exact": {choice: sum(values) for choice, values in picks.items()},
            "gain": [gain.mean, gain.low, gain.high],
        }
    return shown, figures


def _gain(picks: dict[str, list[float]], gain: Interval) -> list[str]:
    bounds = ""
    if gain.low is not None and gain.high is not None:  # of more than one file
        bounds = f" [{gain.low * 100:+.1f}, {gain.high * 100:+.1f}]"
    return [f"{sum(picks['rank']):.0f}", f"{gain.mean * 100:+.1f}{bounds}"]


def gather(folders: Sequence[Path], count: int, reads_on: bool, model: str) -> list[Row]:
    found = models.resolve(model)
    decoder = variant.load(found.folder, shipped=shipped.of(found))
    asked = variant.Variant("", decoder, shipped.template_of(found))
    rows: list[Row] = []
    for folder in folders:
        every, own = gathered.words_in(folder)
        cases = repository_cases(folder, count, SEED)
        with progress.on_stderr() as tell:
            for number, case in enumerate(random.Random(SEED).sample(cases, len(cases))):
                tell(f"holes of {folder.name}", number, len(cases))
                others = every - own.get(case.path, gathered.Counter())
                if row := gathered.gather(case, asked, others, reads_on):
                    rows.append(row.to_json())
    return rows


def main() -> None:
    parser = common.parser(__doc__ or "")
    parser.add_argument("--files", type=Path, nargs="+", metavar="FOLDER", help="repositories")
    parser.add_argument("--n", type=int, default=0, help="holes of each")
    parser.add_argument("--reads-on", action="store_true", help="also by the suffix's chance; slow")
    parser.add_argument("--model", default="tandem-135m", help="of the store, or a folder")
    parser.add_argument("--rows", type=Path, metavar="FILE", help="read what --save wrote")
    parser.add_argument("--save", type=Path, metavar="FILE", help="write each hole's candidates")
    run(parser.parse_args())


def run(arguments: argparse.Namespace) -> None:
    if arguments.rows:
        lines = arguments.rows.read_text("utf-8").split("\n")
        rows = [json.loads(line) for line in lines if line]
    else:
        folders = arguments.files or [common.REPOSITORY / "completion"]
        count = arguments.n or (8 if arguments.quick else 26)
        rows = gather(folders, count, arguments.reads_on, arguments.model)
    if arguments.save:
        arguments.save.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    shown, figures = table(rows)
    gain = figures["ways"]["branch, closest call"]["gain"][0]
    common.report(
        f"Candidates for {len(rows)} holes",
        ["way", "n", "time", "best", "exact", "gain, points", "exact by"],
        shown,
        ("closest_call_exact_gain_points", f"{gain * 100:+.1f}"),
        figures,
        arguments.json,
    )


if __name__ == "__main__":
    main()
