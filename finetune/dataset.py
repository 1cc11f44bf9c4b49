"""What a model is trained and compared on, made from a repository or from a list of packages.

The same inputs, seed and mixture give the same bytes, whatever the number of processes.

    python -m finetune.dataset REPOSITORY OUT
"""

import hashlib
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from finetune import files, history
from finetune.cases import Case, cases_in
from finetune.encode import Encoded, Job, Mixture, samples, seed_of, tree_jobs
from finetune.files import SourceFile, answerable
from finetune.folder import CASES, Dataset, Notes, fresh_folder, write
from finetune.history import Changed
from finetune.neardup import HeldOut, Index, Lines
from finetune.progress import Progress, silent, told
from finetune.repository import Change, Repository
from finetune.samples import Encoder
from finetune.snippets import Definitions, cross_file_cases
from finetune.sources import SPLITS, Source, entries_of
from tandem.errors import TandemError, UsageError

__all__ = ["Dataset", "build_from_repository", "build_from_sources"]

CHANGED = 0.4  # of a repository's samples stand where a commit added lines
OTHER_LANGUAGES = 0.12  # of the samples of packages are of languages without a grammar
# Of one source, files beyond these are left out, drawn evenly: time and memory stay bounded.
MOST_FILES = 8000
MOST_CHARACTERS = 64_000_000
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
    build = _Build(encoder, mixture or Mixture(), seed, processes, progress)
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
    build = _Build(encoder, mixture or Mixture(), seed, processes, progress)
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
        train = build.samples(jobs, definitions, tokens, "Training")
        jobs = tree_jobs(_by_language(trees["validation"])[0], 2 * validation, seed)
        checks = build.samples(jobs, definitions, validation * build.mixture.longest, "Validation")
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


@dataclass
class _Build:
    """What all steps of making one dataset share."""

    encoder: Encoder
    mixture: Mixture
    seed: int
    processes: int
    progress: Progress
    notes: Notes = field(default_factory=Notes)

    def read(
        self,
        source: str,
        found: Iterable[files.Entry],
        leak: Callable[[str], str] = lambda text: "",
        seen: Index | None = None,
    ) -> list[SourceFile]:
        """The files that count and do not `leak`, without near-duplicates of each other and of
        what was `seen`; an even draw if there are too many."""
        skips = self.notes.skips
        entries = [entry for entry in found if not _refused(files.unwanted(entry), skips)]
        if len(entries) > MOST_FILES:
            skips["more than can be used"] += len(entries) - MOST_FILES
            rng = random.Random(seed_of(self.seed, source, "files"))
            drawn = sorted(rng.sample(range(len(entries)), MOST_FILES))
            entries = [entries[index] for index in drawn]
        index, kept, size = Index() if seen is None else seen, [], 0
        shown = told(entries, f"Reading {source}", len(entries), self.progress)
        for file in files.sources(shown, skips):
            if size + len(file.text) > MOST_CHARACTERS:
                skips["more than can be used"] += 1
            elif not _refused(
                leak(file.text) or (index.add(file.path, file.text) and "near-duplicate"), skips
            ):
                self.notes.used(source, file)
                kept.append(file)
                size += len(file.text)
        return kept

    def changes(self, repository: Repository, revisions: str) -> list[Change]:
        """The changes of a range of commits, in an order drawn from the seed."""
        changes = repository.changes(revisions, self.notes.skips)
        found = list(told(changes, "Reading commits", 0, self.progress))
        random.Random(seed_of(self.seed, "changes", revisions)).shuffle(found)
        return found

    def changed_jobs(self, source: str, found: Sequence[Changed]) -> list[Job]:
        jobs = []
        for one in found:
            self.notes.used(source, one.file, one.change.commit)
            where = seed_of(self.seed, source, one.file.path, one.change.commit)
            jobs.append(Job(source, one.file, history.holes_in(one), where, one.added))
        return jobs

    def changed_cases(self, source: str, found: Sequence[Changed], known: Lines) -> list[Case]:
        """Holes in the changes; none whose lines are `known`."""
        made = []
        for one in found:
            file, count = one.file, history.holes_in(one)
            self.notes.used(source, file, one.change.commit)
            rng = random.Random(seed_of(self.seed, "case", file.path, one.change.commit))
            for text, hole in history.holes(file.text, file.language, one.added, rng, count):
                prefix, suffix = text[: hole.start], text[hole.end :]
                middle = text[hole.start : hole.end]
                whole = prefix.rsplit("\n", 1)[-1] + middle + suffix.split("\n", 1)[0]
                if answerable(middle) and known.share(whole) <= history.KNOWN:
                    place = (source, file.path, file.language)
                    made.append(Case(*place, prefix, middle, suffix, hole.cut, hole.kind))
        return made

    def samples(
        self, jobs: list[Job], definitions: dict[str, Definitions], tokens: int, stage: str
    ) -> list[Encoded]:
        random.Random(seed_of(self.seed, stage)).shuffle(jobs)
        return samples(
            jobs,
            self.encoder,
            definitions,
            self.mixture,
            tokens,
            self.processes,
            lambda done: self.progress(f"{stage} samples", min(done, tokens), tokens),
        )

    def about(self) -> dict[str, object]:
        template = self.encoder.template.name
        return {"seed": self.seed, "mixture": asdict(self.mixture), "template": template}


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


def _refused(reason: object, skips: Counter[str]) -> bool:
    if reason:
        skips[str(reason)] += 1
    return bool(reason)


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
