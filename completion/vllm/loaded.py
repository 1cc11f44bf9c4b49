"""The adapters in a running vLLM: loaded one by one, so that a bad one stops nobody.

A loaded adapter takes a slot until vLLM starts again, also after it was unloaded: its engine keeps
what it has until another needs the room.
"""

from collections.abc import Callable
from pathlib import Path

from completion.vllm import command, served
from completion.vllm.command import Plan
from completion.vllm.control import Control
from completion.vllm.served import Adapter, Model
from completion.vllm.settings import Adapters


class LoadedAdapters:
    """`copies` is a folder for copies of them. `tell` gets a line for each adapter that is left
    out, once."""

    def __init__(self, control: Control, copies: Path, tell: Callable[[str], None]) -> None:
        self._control = control
        self._copies = copies
        self._tell = tell
        self._plan: Plan | None = None
        self._stamp: tuple = ()
        self._loaded: dict[str, Adapter] = {}
        self._refused: set[Adapter] = set()
        self._trying: Adapter | None = None
        self._slots_used = 0
        self._told: set[str] = set()

    def find(self, model: Model, wanted: Adapters) -> list[Adapter]:
        """Those that can be served as they are now."""
        self._stamp = served.stamp(wanted)
        found, problems = served.adapters_of(model, wanted, self._copies)
        for line in problems:
            self._once(line)
        return [one for one in found if one not in self._refused]

    def begin(self, plan: Plan) -> None:
        """Load them all into a vLLM that has just started."""
        self._plan, self._loaded, self._slots_used = plan, {}, 0
        for adapter in plan.adapters:
            self._load(adapter)
        served.prune(self._copies, [*plan.adapters])

    def crashed(self) -> None:
        """vLLM is gone; what it was loading just then is not tried again."""
        if self._trying is not None:
            self._refuse(self._trying, "vLLM ended while it loaded it")
            self._trying = None

    def follow(self, model: Model, wanted: Adapters) -> bool:
        """Do as the store does; whether that needs a new start."""
        if served.stamp(wanted) == self._stamp:
            return False
        found = {one.name: one for one in self.find(model, wanted)}
        for name in [name for name, one in self._loaded.items() if found.get(name) != one]:
            if problem := self._control.unload(name):
                self._once(f"The adapter {name} is still served: {problem}")
            else:
                del self._loaded[name]
                self._tell(f"The adapter {name} is served no more.")
        for name, adapter in found.items():
            if name not in self._loaded:
                if not self._has_room(adapter):
                    return True
                self._load(adapter)
        return False

    def _has_room(self, adapter: Adapter) -> bool:
        """On a CPU the last slot stays empty (`command.slots`); a GPU's are taken over."""
        plan = self._plan
        assert plan is not None
        slots = command.slots(plan)
        if not slots or adapter.rank > command.most_rank(plan):
            return False
        lent = plan.lends.room if plan.lends else 0
        return not plan.environment.cpu or self._slots_used < slots - 1 - lent

    def _load(self, adapter: Adapter) -> None:
        self._trying = adapter
        problem = self._control.load(adapter.name, adapter.folder)
        if problem:
            self._refuse(adapter, f"vLLM says: {problem}")
        else:
            self._loaded[adapter.name] = adapter
            self._slots_used += 1
            self._tell(f"The adapter {adapter.name} is served.")
        if self._control.healthy():
            self._trying = None

    def _refuse(self, adapter: Adapter, reason: str) -> None:
        self._refused.add(adapter)
        self._once(f"The adapter {adapter.name} is left out: {reason}")

    def _once(self, line: str) -> None:
        if line not in self._told:
            self._told.add(line)
            self._tell(line)
