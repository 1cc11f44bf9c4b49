"""What all steps of making one dataset share: reading, holes in changes, samples."""

import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from finetune import files, history
from finetune.cases import Case
from finetune.encode import Encoded, Job, Mixture, samples, seed_of
from finetune.files import SourceFile, answerable
from finetune.folder import Notes
from finetune.history import Changed
from finetune.library import Library, lay_out
from finetune.neardup import Index, Lines
from finetune.progress import Progress, told
from finetune.repository import Change, Repository
from finetune.samples import Encoder
from finetune.snippets import Definitions

# Of one source, files beyond these are left out, drawn evenly: time and memory stay bounded.
MOST_FILES = 8000
MOST_CHARACTERS = 64_000_000


@dataclass
class Build:
    """One dataset being made; `notes` are what its manifest will tell."""

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
        self,
        jobs: list[Job],
        definitions: dict[str, Definitions],
        tokens: int,
        stage: str,
        library: Library | None = None,
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
            library,
        )

    def library(self, trees: dict[str, list[SourceFile]], folder: Path) -> Library:
        """The trees by source, laid out below `folder`."""
        named = [(name, tree) for name, tree in trees.items() if tree]
        shown = told(named, "Indexing packages", len(named), self.progress)
        return Library({name: lay_out(folder / folder_of(name), tree) for name, tree in shown})

    def about(self) -> dict[str, object]:
        template = self.encoder.template.name
        return {"seed": self.seed, "mixture": asdict(self.mixture), "template": template}


def folder_of(source: str) -> str:
    """A package's name as the name of a folder: `@scope/name` has a slash."""
    return source.replace("/", "+").strip(".")


def _refused(reason: object, skips: Counter[str]) -> bool:
    if reason:
        skips[str(reason)] += 1
    return bool(reason)
