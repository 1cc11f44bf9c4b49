"""What the context of other files costs: milliseconds to find it, and the KV cache's reuse.

    python -m benchmarks.context [--tree FOLDER] [--files FOLDER...] [--json FILE]

Finding: keys typed in files of a large tree (a site-packages folder of a million lines will do),
each asked for its context as a completion asks. Reuse: keys typed in repositories, their prompts
sent to our engine once without and once with the context. The indexes are made in a folder of
their own; recent edits are those of the keys themselves, with 100 ms from key to key and a pause
of two seconds before a jump and after each stretch of 40 keys.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks import common
from benchmarks.parts.keystrokes import Key, Prompter, files_in, keystrokes
from benchmarks.peers import weights
from benchmarks.peers.ours import Ours
from completion.document import Document, language_of
from completion.edits import EditLog
from completion.engine.tokenizer import Tokenizer
from completion.index import Index, Indexer
from completion.pieces import Context
from completion.retrieve import Retriever
from completion.templates import for_model
from tandem import progress, workspace
from tandem.config import CompletionConfig

SEED = 6
KEY_S = 0.1
PAUSE_S = 2.0
KEYS_TO_PAUSE = 40
WARM = 0.9
OPTIONS = CompletionConfig()


@dataclass(frozen=True)
class Asked:
    """One key and what was found for it."""

    key: Key
    context: Context


def ask(retriever: Retriever, keys: Sequence[Key], budget: int) -> list[Asked]:
    """The context of each key, with the edits that the keys before it made."""
    log, now, found = EditLog(), 0.0, []
    before: Key | None = None
    for number, key in enumerate(keys):
        pause = key.action == "jump" or number % KEYS_TO_PAUSE == 0
        now += PAUSE_S if pause else KEY_S
        path = str(key.file)
        if before is not None and before.file == key.file:
            log.before_change(path, lambda text=before.text: text, now)
        elif before is not None:
            log.leave(str(before.file), lambda text=before.text: text)
        hunks = log.recent(path, lambda text=key.text: text, now)
        document = Document(key.file, language_of(key.file), key.text)
        found.append(Asked(key, retriever.context(document, key.offset, budget, hunks)))
        before = key
    return found


def opened(root: Path, quick: bool) -> Index:
    with progress.on_stderr() as tell:
        Indexer(root).update(partial(tell, f"indexing {root.name}"))
    return Index(root)


def finding(tree: Path, count: Tokenizer, keys: int) -> tuple[list[list[object]], dict[str, float]]:
    index = opened(tree, False)
    files = files_in([tree], SEED, max(2, keys // 150))
    asked = ask(
        Retriever(index, count.count), keystrokes(files, SEED, keys), OPTIONS.context_tokens
    )
    index.close()
    every = [one.context.ms["total"] for one in asked]
    anew = [one.context.ms["total"] for one in asked if "scope" in one.context.ms]
    rows: list[list[object]] = []
    figures: dict[str, float] = {}
    for name, times in (("every key", every), ("keys whose context is looked up anew", anew)):
        p50, p95 = common.percentile(times, 0.5), common.percentile(times, 0.95)
        rows.append([name, len(times), f"{p50:.2f}", f"{p95:.2f}", f"{max(times):.1f}"])
        figures |= {f"{name} p50_ms": p50, f"{name} p95_ms": p95}
    for part in sorted({part for one in asked for part in one.context.ms} - {"total"}):
        times = [one.context.ms[part] for one in asked if part in one.context.ms]
        p50, p95 = common.percentile(times, 0.5), common.percentile(times, 0.95)
        rows.append(
            [f"  of it {part}", len(times), f"{p50:.2f}", f"{p95:.2f}", f"{max(times):.1f}"]
        )
    late = sum("late" in one.context.left_out.values() for one in asked)
    rows.append(["left something out for time", late, "", "", ""])
    return rows, {**figures, "late": late, "keys": len(asked)}


def reuse(
    folders: Sequence[Path], tokenizer: Tokenizer, found: weights.Weights, keys: int
) -> tuple[list[list[object]], dict[str, float]]:
    """Of each prompt, the share of tokens that the engine had read already."""
    template = for_model("", found.template)
    prompter = Prompter(template, tokenizer.count, OPTIONS.prompt_tokens, OPTIONS.context_tokens)
    asked: list[Asked] = []
    for number, folder in enumerate(folders):
        index = opened(workspace.root_of(folder / "x") or folder, False)
        typed = keystrokes(files_in([folder], SEED, 5), SEED + number, keys // len(folders))
        asked += ask(Retriever(index, tokenizer.count), typed, OPTIONS.context_tokens)
        index.close()
    rows: list[list[object]] = []
    figures: dict[str, float] = {}
    for name in ("without context", "with context"):
        ours = Ours(found.folder)
        try:
            answers = []
            for one in asked:
                snippets = one.context.snippets if name == "with context" else ()
                prompt = prompter.prompt(one.key, True, snippets)
                if prompt is not None:
                    answers.append(ours.answer(prompt.text, 1, prompt.heal))
        finally:
            ours.close()
        warm = sum(answer.reuse >= WARM for answer in answers) / len(answers)
        first = [answer.first_ms for answer in answers]
        rows.append(
            [
                name,
                len(answers),
                f"{warm:.0%}",
                common.percentile(first, 0.5),
                common.percentile(first, 0.95),
            ]
        )
        figures |= {
            f"{name} reused": warm,
            f"{name} first_p50_ms": common.percentile(first, 0.5),
            f"{name} first_p95_ms": common.percentile(first, 0.95),
        }
    tokens = [one.context.tokens for one in asked]
    given = sum(size > 0 for size in tokens) / len(tokens)
    rows.append(
        [f"tokens of context; {given:.0%} of keys have some", len(tokens), "", *_two(tokens)]
    )
    return rows, {**figures, "given": given}


def _two(values: Sequence[float]) -> list[float]:
    return [float(common.percentile(values, share)) for share in (0.5, 0.95)]


def main() -> None:
    parser = common.parser(__doc__ or "")
    parser.add_argument("--tree", type=Path, help="a large folder of code; default: site-packages")
    parser.add_argument("--files", type=Path, nargs="+", metavar="FOLDER", help="repositories")
    parser.add_argument("--keys", type=int, default=0, help="so many keys in each part")
    parser.add_argument("--model", default="tandem-135m", help="of the store, or a folder")
    run(parser.parse_args())


def run(arguments: argparse.Namespace) -> None:
    keys = arguments.keys or (60 if arguments.quick else 1200)
    found = weights.of(arguments.model, None)
    tokenizer = Tokenizer.load(found.folder)
    tree = arguments.tree or (
        common.REPOSITORY if arguments.quick else Path(sys.prefix) / "lib/python3.11/site-packages"
    )
    with tempfile.TemporaryDirectory(prefix="tandem-benchmark-") as home:
        os.environ["TANDEM_HOME"] = home
        rows, times = finding(tree.resolve(), tokenizer, keys)
        common.show(
            f"Finding context in {tree}", ["", "keys", "p50, ms", "p95, ms", "worst, ms"], rows
        )
        folders = arguments.files or [common.REPOSITORY / "completion"]
        rows, shares = reuse(folders, tokenizer, found, keys)
    common.report(
        "The model's KV cache under context",
        ["", "requests", f"reuse {WARM:.0%} of the prompt", "p50, ms or tokens", "p95"],
        rows,
        ("context_p95_ms", f"{times['every key p95_ms']:.2f}"),
        {"finding": times, "reuse": shares},
        arguments.json,
    )


if __name__ == "__main__":
    main()
