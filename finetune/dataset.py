"""What a model is trained and compared on, made from a repository or from a list of packages.

The same inputs, seed and mixture give the same bytes, whatever the number of processes.

    python -m finetune.dataset REPOSITORY OUT
"""

import gc
import hashlib
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from finetune import files, history
from finetune.build import Build
from finetune.cases import cases_in
from finetune.encode import Mixture, tree_jobs
from finetune.files import SourceFile
from finetune.folder import CASES, Dataset, fresh_folder, write
from finetune.neardup import HeldOut, Index, Lines
from finetune.progress import Progress, silent
from finetune.repository import Repository
from finetune.samples import Encoder
from finetune.snippets import Definitions, cross_file_cases
from finetune.sources import SPLITS, Source, entries_of
from tandem.errors import TandemError, UsageError

__all__ = ["Dataset", "build_from_repository", "build_from_sources"]

CHANGED = 0.4  # of a repository's samples stand where a commit added lines
OTHER_LANGUAGES = 0.12  # of the samples of packages are of languages without a grammar
# Tokens a sample has at least, on average: so many holes are prepared that they last.
_SAMPLE_TOKENS = 200


def build_from_repository(
    folder: Path,
    encoder: Encoder,
    out: Path,
    *,
    tokens: int = 1_000_000,
    validation: int = 200,
    cases: int = 300,
    seed: int = 0,
    processes: int = 1,
    mixture: Mixture | None = None,
    held_out: float = history.HELD_OUT,
    progress: Progress = silent,
) -> Dataset:
    """About `tokens` tokens of training samples, `validation` samples and `cases` held-out cases,
    or fewer if the repository has no more.

    Training sees what the split commit reaches; validation and cases are holes in lines that
    later commits added. Nothing is written to the repository and nothing of it is run.
    Raises UsageError for a repository that cannot be used; then, or when stopped, `out` does not
    exist.
    """
    repository = Repository(folder)
    split = history.split(repository, held_out)
    build = Build(encoder, mixture or Mixture(), seed, processes, progress)
    skips, source = build.notes.skips, repository.name
    with fresh_folder(out) as work:
        found = repository.files(split.train, skips)
        tree = build.read(source, found)
        older = history.sampled(
            build.changes(repository, split.train),
            repository,
            round(tokens / _SAMPLE_TOKENS * CHANGED),
            skips,
        )
        jobs = build.changed_jobs(source, older)
        wanted = max(tokens // _SAMPLE_TOKENS - sum(job.count for job in jobs), 0)
        jobs += tree_jobs({source: tree}, wanted, seed)
        definitions = {source: Definitions.of(tree)}
        train = build.samples(jobs, definitions, tokens, "Training")
        if not train:
            most = f" (most files: {skips.most_common(1)[0][0]})" if skips else ""
            raise UsageError(
                f"{folder} has no source code to learn from{most}.",
                "Tuning needs source files that a person wrote.",
            )
        known = Lines()
        for file in (*tree, *(one.file for one in older)):
            known.add(file.text)
        newer = build.changes(repository, f"{split.train}..{split.validation}")
        later = history.fresh(newer, repository, known, validation, skips)
        jobs = build.changed_jobs(source, later)
        checks = build.samples(jobs, definitions, validation * build.mixture.longest, "Validation")
        for one in later:
            known.add(one.file.text)
        newest = build.changes(repository, f"{split.validation}..{split.test}")
        last = history.fresh(newest, repository, known, 2 * cases, skips)
        held = build.changed_cases(source, last, known)[:cases]
        if not held:
            raise UsageError(
                f"The newest {split.held_out} commits of {folder} added no code to test on.",
                "Tune again when there are newer commits.",
            )
        about = {
            "kind": "repository",
            "repository": source,
            "split": asdict(split) | {"time": repository.time(split.train)},
            "licences": {source: _licence(found)},
        }
        sets = {"train": train, "validation": checks[:validation]}
        return write(work, out, sets, {CASES: held}, build.notes, about | build.about())


def build_from_sources(
    sources: Sequence[Source],
    encoder: Encoder,
    out: Path,
    cache: Path,
    *,
    tokens: int,
    validation: int = 500,
    cases: int = 600,
    seed: int = 0,
    processes: int = 1,
    mixture: Mixture | None = None,
    progress: Progress = silent,
) -> Dataset:
    """As `build_from_repository`, split by package: training never sees a held-out package, nor
    a file that repeats one of theirs (see `neardup`).

    `cases` each are single holes and holes that use a name of another file; the latter are
    written in three forms (see `snippets.cross_file_cases`). `cache` holds the fetched packages.
    Raises TandemError if one is missing or is not the one that was pinned.
    """
    build = Build(encoder, mixture or Mixture(), seed, processes, progress)
    skips = build.notes.skips
    with fresh_folder(out) as work:
        trees: dict[str, Trees] = {split: {} for split in SPLITS}
        held_out, seen = HeldOut(()), Index()
        for source in sorted(sources, key=lambda source: source.split == "train"):
            if source.split == "train" and not trees["train"]:
                kept_out = {**trees["validation"], **trees["test"]}
                held_out = HeldOut((file.path, file.text) for file in _all(kept_out))
            found = entries_of(source, cache, skips)
            tree = build.read(source.name, found, held_out.leak, seen)
            trees[source.split][source.name] = tree
        kept_out = {**trees["validation"], **trees["test"]}
        definitions = {
            name: Definitions.of(tree)
            for name, tree in (*trees["train"].items(), *kept_out.items())
        }
        wanted = tokens // _SAMPLE_TOKENS
        python, others = _by_language(trees["train"])
        jobs = tree_jobs(python, round(wanted * (1 - OTHER_LANGUAGES)), seed)
        ours = sum(job.count for job in jobs)
        jobs += tree_jobs(others, round(ours * OTHER_LANGUAGES / (1 - OTHER_LANGUAGES)), seed)
        library = build.library(trees["train"] | trees["validation"], cache / "trees")
        gc.freeze()  # millions of objects that stay: to go through them again takes a core
        train = build.samples(jobs, definitions, tokens, "Training", library)
        jobs = tree_jobs(_by_language(trees["validation"])[0], 2 * validation, seed)
        most = validation * build.mixture.longest
        checks = build.samples(jobs, definitions, most, "Validation", library)
        test = _by_language(trees["test"])[0]
        rows = [(name, file.path, file.text) for name, tree in test.items() for file in tree]
        progress("Cases", 0, 0)
        crossing = cross_file_cases(list(test.items()), cases, seed)
        held = {
            CASES: list(cases_in(rows, "python", cases, seed)),
            "cross-file-right.jsonl": crossing.right,
            "cross-file-without.jsonl": crossing.without,
            "cross-file-useless.jsonl": crossing.useless,
        }
        about = {
            "kind": "packages",
            "sources": [asdict(source) for source in sources],
            "licences": {source.name: source.licence for source in sources},
        }
        sets = {"train": train, "validation": checks[:validation]}
        return write(work, out, sets, held, build.notes, about | build.about())


Trees = dict[str, list[SourceFile]]


def _by_language(trees: Trees) -> tuple[Trees, Trees]:
    """Python's files by source, and those of all other languages."""
    python, others = {}, {}
    for name, tree in trees.items():
        for file in tree:
            part = python if file.language == "python" else others
            part.setdefault(name, []).append(file)
    return python, others


def _all(trees: Trees) -> Iterable[SourceFile]:
    return (file for tree in trees.values() for file in tree)


def _licence(entries: Sequence[files.Entry]) -> dict[str, str]:
    """The licence file of a tree, by name and hash; what it says is the user's to know."""
    for entry in entries:
        if entry.path.upper().startswith(("LICENSE", "LICENCE", "COPYING")):
            return {"file": entry.path, "sha256": hashlib.sha256(entry.read()).hexdigest()}
    return {}


def main(arguments: Sequence[str]) -> None:
    """Make the dataset of a repository for the default model, to look at."""
    from finetune.corpus import shipped_encoder

    made = build_from_repository(
        Path(arguments[0]),
        shipped_encoder(),
        Path(arguments[1]),
        progress=lambda stage, done, total: print(stage, done, total, file=sys.stderr),
    )
    print(made.folder / "manifest.json")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except TandemError as problem:
        sys.exit(str(problem))
