"""Keeps the listing of vLLM replicas' adapters as the store is."""

from collections.abc import Callable, Iterable
from pathlib import Path

from completion.fleet import listing
from completion.fleet.settings import Settings
from completion.vllm import served
from completion.vllm.served import Adapter, Model
from completion.vllm.settings import Adapters
from tandem.errors import TandemError


class ListedAdapters:
    """`file` is the listing; copies of adapters are in the folder beside it. `tell` gets a line
    for each that comes or goes, and, once, for each that is left out."""

    def __init__(
        self, model: Model, settings: Settings, file: Path, tell: Callable[[str], None]
    ) -> None:
        wanted = settings.adapters
        self._model = model
        self._wanted = Adapters(store=wanted.store, folders=wanted.folders)
        self._most_rank = wanted.most_rank
        self._file = file
        self._copies = file.with_suffix("")
        self._tell = tell
        self._stamp: tuple | None = None
        self._listed: dict[str, Adapter] = {}
        self._told: set[str] = set()

    def begin(self) -> None:
        """Before Ray starts: copies that are not listed any more go. Raises TandemError."""
        self._list()
        served.prune(self._copies, [*self._listed.values()])

    def look(self) -> None:
        """Blocking; cheap while the store is as it was."""
        try:
            if served.stamp(self._wanted) != self._stamp:
                self._list()
        except (TandemError, OSError) as error:
            self._once([f"The adapters stay as they are: {error}"])

    def _list(self) -> None:
        self._stamp = served.stamp(self._wanted)
        found, problems = served.adapters_of(self._model, self._wanted, self._copies)
        for one in found:
            if one.rank > self._most_rank:
                told = f"its rank {one.rank} is above adapters.most_rank, {self._most_rank}."
                problems.append(f"The adapter {one.name} is left out: {told}")
        before = self._listed
        self._listed = {one.name: one for one in found if one.rank <= self._most_rank}
        listing.write(self._file, {name: one.folder for name, one in self._listed.items()})
        self._once(problems)
        for name, one in self._listed.items():
            if before.get(name) != one:
                self._tell(f"The adapter {name} is served.")
        for name in sorted({*before} - {*self._listed}):
            self._tell(f"The adapter {name} is served no more.")

    def _once(self, lines: Iterable[str]) -> None:
        for line in lines:
            if line not in self._told:
                self._told.add(line)
                self._tell(line)
