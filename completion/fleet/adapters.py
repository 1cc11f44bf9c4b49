"""What replicas may serve besides the base: keeps the listing of vLLM replicas as the store is, and
says what may be lent to replicas of either kind."""

from collections.abc import Callable, Iterable
from pathlib import Path

from completion.fleet import listing
from completion.fleet.listing import Row
from completion.fleet.settings import Settings
from completion.vllm import served
from completion.vllm.lent import Lends
from completion.vllm.served import Adapter, Model
from completion.vllm.settings import Adapters
from tandem.errors import TandemError


class ListedAdapters:
    """`file` is the listing; copies of adapters are in the folder beside it. `tell` gets a line
    for each that comes or goes, and, once, for each that is left out. The embedded engine's replicas
    take the store's by themselves."""

    def __init__(
        self, model: Model, settings: Settings, file: Path, tell: Callable[[str], None]
    ) -> None:
        wanted = settings.adapters
        self._model = model
        fields = wanted.model_dump(include={"store", "folders", "most_rank", "adapter_folder"})
        self._wanted = Adapters(**fields)
        self._are_ours = settings.replica == "vllm" and wanted.each > 0
        self._cpu = not settings.gpus
        self.file = file
        self._copies = file.with_suffix("")
        self._tell = tell
        self._stamp: tuple | None = None
        self._listed: dict[str, Adapter] = {}
        self._told: set[str] = set()

    def lends(self) -> Lends | None:
        """What may be lent, if anything. Blocking: may have to hash the weights."""
        return served.lends(self._model, self._wanted, self._cpu)

    def begin(self) -> None:
        """Before Ray starts. Nothing is lent yet, and copies that are not listed any more go.
        Raises TandemError."""
        for file in (self.file, listing.lent_beside(self.file)):
            listing.write(file, {})
        if self._are_ours:
            self._list()
        served.prune(self._copies, [*self._listed.values()])

    def look(self) -> None:
        """Blocking; cheap while the store is as it was."""
        if not self._are_ours:
            return
        try:
            if served.stamp(self._wanted) != self._stamp:
                self._list()
        except (TandemError, OSError) as error:
            self._once([f"The adapters stay as they are: {error}"])

    def _list(self) -> None:
        self._stamp = served.stamp(self._wanted)
        found, problems = served.adapters_of(self._model, self._wanted, self._copies)
        before, self._listed = self._listed, {}
        for one in found:
            if one.rank <= self._wanted.most_rank:
                self._listed[one.name] = one
            else:
                told = f"its rank {one.rank} is above adapters.most_rank, {self._wanted.most_rank}."
                problems.append(f"The adapter {one.name} is left out: {told}")
        rows = {name: Row(one.folder.name, one.folder) for name, one in self._listed.items()}
        listing.write(self.file, rows)
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
