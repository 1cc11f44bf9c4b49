"""The model that a server serves: from loading, over ready, to failed or stopping.

torch is imported by the loading thread, not here, so that the socket opens at once.
"""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from completion import adapters
from completion.engine import malloc
from completion.engine.api import ApiError, MemoryUpdate, Remembered
from completion.engine.request import Chunk, Request
from tandem import paths
from tandem.config import EngineConfig
from tandem.errors import ModelError, TandemError, UsageError

if TYPE_CHECKING:
    from completion.engine.generate import Decoder
    from completion.engine.memories import Held, Memories
    from completion.engine.memory import Recall
    from completion.engine.scheduler import Job, Scheduler
    from completion.engine.shipped import Shipped

Status = Literal["loading", "ok", "failed", "stopping"]


@dataclass(frozen=True)
class Loaded:
    """A decoder, the thread that owns it, and what may be mixed into what it says."""

    decoder: "Decoder"
    scheduler: "Scheduler"
    memories: "Memories"

    def remember(self, name: str, update: MemoryUpdate) -> "Held":
        """Blocking. Raises ApiError (413) if the memory takes too much."""
        from completion.engine.memories import MemoryFull

        files = {file.path: file.text for file in update.files}
        try:
            return self.memories.put(name, files, update.drop)
        except MemoryFull:
            raise ApiError(
                413,
                f"The memory {name} takes more than there may be; it is gone.",
                code="memory_full",
            ) from None

    def recall(
        self, wanted: Remembered | None, salt: str | None = None
    ) -> "tuple[Recall | None, str]":
        """What a request mixes in, and what its usage tells of that.

        Memories are given and asked for by all who know the token, so who has a salt has none.
        """
        from completion.engine.memory import Recall

        if wanted is None:
            return None, ""
        view = None if salt else self.memories.view(wanted.name)
        return (None, "unknown") if view is None else (Recall(view, wanted.weight), "used")

    def submit(self, parts: Sequence[tuple[Request, Callable[[Chunk], None]]]) -> "list[Job]":
        """Requests that belong together. Raises ApiError (429) if too many wait."""
        from completion.engine.scheduler import QueueFull

        try:
            return self.scheduler.submit_all(parts)
        except QueueFull:
            raise ApiError(
                429,
                "Too many requests wait for the model. Try again in a second.",
                code="queue_full",
                headers={"Retry-After": "1"},
            ) from None


class ServedModel:
    """One model folder under the name it is served by. Times are time.monotonic's seconds."""

    def __init__(
        self,
        name: str,
        folder: Path,
        fim_template: str,
        config: EngineConfig,
        shipped: "Shipped | None" = None,
    ) -> None:
        self.name = name
        self.folder = folder
        self.fim_template = fim_template
        self.created = int(folder.stat().st_mtime)
        self.began = time.monotonic()
        self.error = ""
        self.status: Status = "loading"
        self._config = config
        self._shipped = shipped
        self._loaded: Loaded | None = None
        self._weights: adapters.Base | None = None
        self._checked: dict[str, tuple[int, ...]] = {}
        self._changing = threading.Lock()

    def load(self) -> None:
        """Blocking. What goes wrong is told by `status` and `error`: nobody waits for this."""
        try:
            loaded = self._load()
        except TandemError as error:
            self._fail(str(error))
        except Exception as error:  # a damaged file can fail in any library that reads it
            self._fail(f"Cannot load {self.folder}: {type(error).__name__}: {error}.")
        else:
            self._start(loaded)

    def ready(self) -> Loaded:
        """Raises ApiError (503) that says why the model cannot be asked now."""
        with self._changing:
            if self._loaded is not None and self.status == "ok":
                return self._loaded
        messages = {
            "loading": f"The model {self.name} is loading. Try again in a second.",
            "failed": self.error,
            "stopping": "The engine is stopping.",
        }
        raise ApiError(
            503,
            messages[self.status],
            code=f"model_{self.status}",
            headers={"Retry-After": "1"},
        )

    def usable_adapters(self) -> list[adapters.Adapter]:
        """Those of the store that can be asked for now. Blocking: reads the store."""
        usable = []
        for found in adapters.installed():
            if found.manifest.base == self.name != found.name:
                with contextlib.suppress(TandemError):
                    usable.append(adapters.resolve(found.name, self.weights()))
        return usable

    def check_adapter(self, name: str) -> None:
        """Blocking. Raises ApiError: 404 if there is none of that name for this model, 409 if
        it cannot be used."""
        try:
            stamp = adapters.stamp(name)
            if stamp and self._checked.get(name) == stamp:
                return
            if adapters.read(name).manifest.base == self.name:
                adapters.resolve(name, self.weights())
                self._checked[name] = stamp
                return
        except ModelError as error:
            raise ApiError(409, str(error), param="model", code="adapter_unusable") from None
        except UsageError:
            pass
        raise ApiError(
            404,
            f"The model '{name}' is not served here; '{self.name}' is.",
            param="model",
            code="model_not_found",
        )

    def weights(self) -> adapters.Base:
        """What adapters are held against: the weights as they were when first asked for."""
        if self._weights is None:
            self._weights = adapters.Base.of(self.name, self.folder)
        return self._weights

    @property
    def adapter_folder(self) -> Path:
        """Below it lies what may be loaded at run time."""
        named = self._config.adapter_folder
        return Path(named).expanduser() if named else paths.gateway_adapters_dir()

    def stop(self) -> None:
        """Cancel what runs and wait for the model's thread. Blocking, for at most one token."""
        with self._changing:
            self.status = "stopping"
            loaded, self._loaded = self._loaded, None
        if loaded is not None:
            loaded.scheduler.stop()

    def stats(self) -> dict[str, float]:
        with self._changing:
            return self._loaded.scheduler.stats() if self._loaded else {}

    def idle_seconds(self) -> float:
        """How long nobody has asked; 0 while the model loads."""
        last = self.stats().get("last_active")
        return 0.0 if last is None else time.monotonic() - last

    def _load(self) -> Loaded:
        # Read when torch is imported. Its threads spin between two products instead of sleeping,
        # by default long enough to halve our speed when something else wants a core, too. At this
        # count they cost 6% on an idle machine and save 40% on a busy one (docs/LOG.md).
        os.environ.setdefault("GOMP_SPINCOUNT", "3000")
        malloc.settle()
        from completion.engine.adapters import Variants
        from completion.engine.generate import Decoder
        from completion.engine.memories import Memories
        from completion.engine.scheduler import Scheduler
        from completion.engine.weights import fast_bfloat16

        config = self._config
        dtype = config.dtype
        on_cpu = config.device == "cpu"
        if on_cpu and dtype == "auto" and config.adapters == "beside":  # kernels know no adapters
            dtype = "bfloat16" if fast_bfloat16() else "float32"
        decoder = Decoder.load(
            self.folder,
            dtype,
            config.threads,
            config.context,
            self._shipped,
            config.cache_mb,
            config.device,
        )
        if not config.speculation:
            decoder.speculation = None
        variants = Variants(decoder, self.weights, config.adapters == "beside")
        memories = Memories(decoder.tokenizer, decoder.model.config.vocabulary)
        return Loaded(decoder, Scheduler(variants, config.queue, config.batch), memories)

    def _start(self, loaded: Loaded) -> None:
        with self._changing:
            if self.status == "loading":
                loaded.scheduler.start()
                self._loaded, self.status = loaded, "ok"

    def _fail(self, message: str) -> None:
        with self._changing:
            self.error, self.status = message, "failed"
