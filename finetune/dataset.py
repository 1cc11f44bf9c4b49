"""What a model is trained and compared on, made from a repository or from a list of packages.

A folder of `train/` and `validation/` samples (see `store`), held-out `cases.jsonl` (see
`cases`), `inputs.txt` with the sha256 of every file that was used, and `manifest.json`. The same
inputs, seed and recipe give the same bytes, whatever the number of processes.

    python -m finetune.dataset REPOSITORY OUT
"""

import hashlib
import json
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from finetune import cases, files, history
from finetune.cases import Case
from finetune.encode import Encoded, Job, Recipe, encoded, seed_of
from finetune.files import SourceFile, answerable
from finetune.history import Changed
from finetune.neardup import Index, Lines
from finetune.repository import Change, Repository
from finetune.samples import Encoder
from finetune.snippets import Definitions
from finetune.store import SampleSet
from tandem.errors import UsageError

T = TypeVar("T")

FORMAT = 1
MANIFEST = "manifest.json"
INPUTS = "inputs.txt"
CASES = "cases.jsonl"

CHANGED = 0.4  # of a repository's samples stand where a commit added lines
# A repository's files beyond these are left out, drawn evenly: time and memory stay bounded.
MOST_FILES = 8000
MOST_CHARACTERS = 64_000_000
# Tokens a sample has at least, on average: so many holes are prepared that they last.
_SAMPLE_TOKENS = 200
_HOLE_PER = 300  # characters of a file, at the densest
_TESTS = 0.4  # of the holes that other code of the same size gets

# Called with a stage, what is done of it, and how much there is (0: not known).
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Dataset:
    """A finished folder. Raises UsageError if it is none."""

    folder: Path
    manifest: dict[str, Any]

    @classmethod
    def load(cls, folder: Path) -> "Dataset":
        try:
            manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
            readable = manifest["v"] == FORMAT
        except (OSError, ValueError, LookupError, TypeError):
            readable, manifest = False, {}
        if not readable:
            raise UsageError(f"{folder} holds no training data.", "Make it anew.")
        return cls(folder, manifest)

    @property
    def train(self) -> Path:
        return self.folder / "train"

    @property
    def validation(self) -> Path:
        return self.folder / "validation"

    @property
    def hash(self) -> str:
        return self.manifest["data_sha256"]

    def cases(self) -> list[Case]:
        return cases.load(self.folder / CASES)


@dataclass
class Notes:
    """What goes into the manifest on the way: reasons, and the inputs with their hashes."""

    skips: Counter[str] = field(default_factory=Counter)
    inputs: set[tuple[str, str]] = field(default_factory=set)
    redacted: int = 0

    def used(self, source: str, file: SourceFile, commit: str = "") -> None:
        name = f"{source}/{file.path}" + (f"@{commit[:12]}" if commit else "")
        if (name, file.sha256) not in self.inputs:
            self.inputs.add((name, file.sha256))
            self.redacted += file.secrets


def silent(stage: str, done: int, total: int) -> None:
    pass


def build_from_repository(
    folder: Path,
    encoder: Encoder,
    out: Path,
    *,
    tokens: int = 1_000_000,
    validation: int = 200,
    cases_wanted: int = 300,
    seed: int = 0,
    processes: int = 1,
    recipe: Recipe | None = None,
    held_out: float = history.HELD_OUT,
    progress: Progress = silent,
) -> Dataset:
    """About `tokens` tokens of training samples, `validation` samples and `cases_wanted` cases,
    or fewer if the repository has no more.

    Training sees what the split commit reaches; validation and cases are holes in lines that
    later commits added. Nothing is written to the repository and nothing of it is run.
    Raises UsageError for a repository that cannot be used, with nothing left in `out`.
    """
    recipe = recipe or Recipe()
    repository = Repository(folder)
    split = history.split(repository, held_out)
    with fresh_folder(out) as work:
        notes = Notes()
        source = repository.name
        tree = _tree(repository, split.train, seed, notes, progress)
        wanted = tokens // _SAMPLE_TOKENS
        known = Lines()
        for file in tree:
            notes.used(source, file)
            known.add(file.text)
        changed = _sampled(
            _changes(repository, split.train, seed, notes, progress),
            repository,
            round(wanted * CHANGED),
            notes,
        )
        jobs = _changed_jobs(source, changed, seed, notes)
        for one in changed:
            known.add(one.file.text)
        rest = wanted - sum(job.count for job in jobs)
        jobs += tree_jobs({source: tree}, max(rest, round(wanted * (1 - CHANGED))), seed)
        random.Random(seed_of(seed, "order")).shuffle(jobs)
        definitions = {source: Definitions.of(tree)}
        train = samples(jobs, encoder, definitions, recipe, tokens, processes, progress, "Training")
        if not train:
            raise UsageError(
                f"{folder} has no source code to learn from{_mostly(notes.skips)}.",
                "Tuning needs source files that a person wrote.",
            )
        newer = f"{split.train}..{split.validation}"
        later = _fresh(repository, newer, known, validation, seed, notes, progress)
        jobs = _changed_jobs(source, later, seed, notes)
        room = validation * recipe.longest
        checked = samples(
            jobs, encoder, definitions, recipe, room, processes, progress, "Validation"
        )[:validation]
        for one in later:
            known.add(one.file.text)
        newest = f"{split.validation}..{split.test}"
        tested = _fresh(repository, newest, known, cases_wanted, seed, notes, progress)
        held = _changed_cases(source, tested, cases_wanted, seed, notes)
        if not held:
            raise UsageError(
                f"The newest {split.held_out} commits of {folder} added no code to test on.",
                "Tune again when there are newer commits.",
            )
        about = {
            "kind": "repository",
            "repository": source,
            "split": asdict(split) | {"time": repository.time(split.train)},
            "licences": {source: _licence(repository, split.train)},
        }
        return write(work, out, train, checked, held, notes, seed, recipe, encoder, about)


def _tree(
    repository: Repository, commit: str, seed: int, notes: Notes, progress: Progress
) -> list[SourceFile]:
    """The files of a commit that count, without near-duplicates; an even draw if too many."""
    entries = []
    for entry in repository.files(commit, notes.skips):
        reason = files.unwanted(entry)
        if reason:
            notes.skips[reason] += 1
        else:
            entries.append(entry)
    if len(entries) > MOST_FILES:
        notes.skips["more than can be used"] += len(entries) - MOST_FILES
        drawn = random.Random(seed_of(seed, "files")).sample(range(len(entries)), MOST_FILES)
        entries = [entries[index] for index in sorted(drawn)]
    counted = _told(entries, "Reading files", len(entries), progress)
    return unlike_each_other(files.sources(counted, notes.skips), notes.skips)


def unlike_each_other(found: Iterable[SourceFile], skips: Counter[str]) -> list[SourceFile]:
    """Files without repeats, up to `MOST_CHARACTERS` in all."""
    index, kept, size = Index(), [], 0
    for file in found:
        if size + len(file.text) > MOST_CHARACTERS:
            skips["more than can be used"] += 1
        elif index.add(file.path, file.text) is not None:
            skips["near-duplicate"] += 1
        else:
            kept.append(file)
            size += len(file.text)
    return kept


def _changes(
    repository: Repository, revisions: str, seed: int, notes: Notes, progress: Progress
) -> list[Change]:
    """The changes of a range of commits, in an order drawn from the seed."""
    found = list(_told(repository.changes(revisions, notes.skips), "Reading commits", 0, progress))
    random.Random(seed_of(seed, "changes", revisions)).shuffle(found)
    return found


def _sampled(
    changes: Iterable[Change], repository: Repository, wanted: int, notes: Notes
) -> list[Changed]:
    """As many changes as give `wanted` holes, each with its text."""
    found: list[Changed] = []
    for changed in history.read(repository, changes, notes.skips):
        if wanted <= 0:
            break
        found.append(changed)
        wanted -= _holes_in(changed)
    return found


def _fresh(
    repository: Repository,
    revisions: str,
    known: Lines,
    wanted: int,
    seed: int,
    notes: Notes,
    progress: Progress,
) -> list[Changed]:
    """Changes of held-out commits, without what training knows already."""
    changes = _changes(repository, revisions, seed, notes, progress)
    found: list[Changed] = []
    wanted *= 2  # some holes are given up
    for changed in history.read(repository, changes, notes.skips):
        fresh = history.unknown(changed, known, notes.skips) if wanted > 0 else None
        if fresh:
            found.append(fresh)
            wanted -= _holes_in(fresh)
        elif wanted <= 0:
            break
    return found


def _holes_in(changed: Changed) -> int:
    return min(4, -(-sum(end - first for first, end in changed.added) // 3))


def _changed_jobs(source: str, found: Sequence[Changed], seed: int, notes: Notes) -> list[Job]:
    jobs = []
    for one in found:
        notes.used(source, one.file, one.change.commit)
        where = seed_of(seed, source, one.file.path, one.change.commit)
        jobs.append(Job(source, one.file, _holes_in(one), where, one.added))
    return jobs


def _changed_cases(
    source: str, found: Sequence[Changed], wanted: int, seed: int, notes: Notes
) -> list[Case]:
    made: list[Case] = []
    for one in found:
        if len(made) >= wanted:
            break
        file = one.file
        notes.used(source, file, one.change.commit)
        rng = random.Random(seed_of(seed, "case", file.path, one.change.commit))
        for text, hole in history.holes(file.text, file.language, one.added, rng, _holes_in(one)):
            prefix, middle, suffix = (
                text[: hole.start],
                text[hole.start : hole.end],
                text[hole.end :],
            )
            if answerable(middle):
                made.append(
                    Case(
                        source,
                        file.path,
                        file.language,
                        prefix,
                        middle,
                        suffix,
                        hole.cut,
                        hole.kind,
                    )
                )
    return made[:wanted]


def tree_jobs(trees: dict[str, list[SourceFile]], wanted: int, seed: int) -> list[Job]:
    """About `wanted` holes over the files of some sources by their size, none of which gets more
    than three times an even part; tests get fewer."""
    weight = {
        (source, file.path): len(file.text) * (_TESTS if _is_test(file.path) else 1.0)
        for source, tree in trees.items()
        for file in tree
    }
    sizes = {
        source: sum(weight[source, file.path] for file in tree) for source, tree in trees.items()
    }
    most = 3 * wanted / max(1, len(trees))
    parts = {source: min(size / _HOLE_PER, most) for source, size in sizes.items()}
    scale = min(1.0, wanted / max(1.0, sum(parts.values())))
    jobs = []
    for source, tree in trees.items():
        for file in tree:
            where = seed_of(seed, source, file.path)
            part = scale * parts[source] * weight[source, file.path] / sizes[source]
            count = int(part + random.Random(where).random())
            if count:
                jobs.append(Job(source, file, count, where))
    return jobs


def _is_test(path: str) -> bool:
    return "/test" in f"/{path}" or path.endswith(("_test.py", "_test.go", ".test.ts", ".spec.ts"))


def samples(
    jobs: Sequence[Job],
    encoder: Encoder,
    definitions: dict[str, Definitions],
    recipe: Recipe,
    tokens: int,
    processes: int,
    progress: Progress,
    stage: str,
) -> list[Encoded]:
    """The samples of the jobs in their order, until there are so many tokens."""
    made: list[Encoded] = []
    total = 0
    with closing(encoded(jobs, encoder, definitions, recipe, processes)) as batches:
        for batch in batches:
            for sample in batch:
                made.append(sample)
                total += len(sample.ids)
            progress(f"{stage} samples", min(total, tokens), tokens)
            if total >= tokens:
                break
    return made


def write(
    work: Path,
    out: Path,
    train: Sequence[Encoded],
    validation: Sequence[Encoded],
    held: Sequence[Case],
    notes: Notes,
    seed: int,
    recipe: Recipe,
    encoder: Encoder,
    about: dict[str, Any],
) -> Dataset:
    """Fill the folder `work`, which will be renamed to `out`."""
    order = list(train)
    random.Random(seed_of(seed, "samples")).shuffle(order)
    for name, rows in (("train", order), ("validation", validation)):
        (work / name).mkdir()
        SampleSet.of((row.ids, row.weights, row.middle) for row in rows).save(work / name)
    cases.save(held, work / CASES)
    with (work / INPUTS).open("w", encoding="utf-8") as stream:
        stream.writelines(f"{digest}  {name!r}\n" for name, digest in sorted(notes.inputs))
    manifest = {
        "v": FORMAT,
        **about,
        "seed": seed,
        "recipe": asdict(recipe),
        "template": encoder.template.name,
        "train": _counts(train),
        "validation": _counts(validation),
        "cases": len(held),
        "inputs": len(notes.inputs),
        "secrets_replaced": notes.redacted,
        "skipped": dict(sorted(notes.skips.items())),
    }
    manifest["files"] = {
        file.relative_to(work).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(work.rglob("*"))
        if file.is_file()
    }
    whole = json.dumps(manifest, sort_keys=True).encode()
    manifest["data_sha256"] = hashlib.sha256(whole).hexdigest()
    (work / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", "utf-8")
    return Dataset(out, manifest)


def _counts(rows: Sequence[Encoded]) -> dict[str, Any]:
    tell = lambda name: dict(sorted(Counter(str(getattr(row, name)) for row in rows).items()))  # noqa: E731
    told = {name: tell(name) for name in ("cut", "kind", "language", "source", "snippets")}
    return {"samples": len(rows), "tokens": sum(len(row.ids) for row in rows), **told}


def _licence(repository: Repository, commit: str) -> dict[str, str]:
    """The licence file of a tree, by name and hash; what it says is the user's to know."""
    for entry in repository.files(commit, Counter()):
        if entry.path.upper().startswith(("LICENSE", "LICENCE", "COPYING")):
            return {"file": entry.path, "sha256": hashlib.sha256(entry.read()).hexdigest()}
    return {}


def _mostly(skips: Counter[str]) -> str:
    return f" (most files left out: {skips.most_common(1)[0][0]})" if skips else ""


def _told(items: Iterable[T], stage: str, total: int, progress: Progress) -> Iterator[T]:
    for done, item in enumerate(items):
        if done % 50 == 0:
            progress(stage, done, total)
        yield item


@contextmanager
def fresh_folder(out: Path) -> Iterator[Path]:
    """A folder that becomes `out` when the block ends well and is removed when it does not.

    Raises UsageError if `out` exists.
    """
    if out.exists():
        raise UsageError(f"{out} exists already.", "Name a new folder, or remove it.")
    out.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}."))
    try:
        yield work
        work.rename(out)
    finally:
        shutil.rmtree(work, ignore_errors=True)
