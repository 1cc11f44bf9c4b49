"""Our engine, as an editor meets it: in the background, behind HTTP."""

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from benchmarks.peers import Missing
from benchmarks.peers.openai import Server
from completion.engine import background
from tandem.config import Config, EngineConfig
from tandem.errors import TandemError


def weight_forms() -> list[str]:
    """What `engine.dtype` can be set to, besides letting it choose."""
    forms = get_args(EngineConfig.model_fields["dtype"].annotation)
    return [form for form in forms if form != "auto"]


def offers(name: str) -> bool:
    """Whether the engine has this setting."""
    return name in EngineConfig.model_fields


class Ours(Server):
    """One engine with user folders of its own. `ready_ms`: from its start to its first answer."""

    def __init__(
        self, model: Path, dtype: str = "auto", home: Path | None = None, /, **settings: Any
    ) -> None:
        """`settings` are of the group `engine`. `home` has its user folders, a new one if not
        given. Raises Missing if it does not start so."""
        try:
            engine = EngineConfig.model_validate({"dtype": dtype, **settings})
        except ValidationError as error:
            raise Missing(f"not offered: {error.errors()[0]['msg']}") from error
        self._config = Config(model=str(model), engine=engine)
        self._is_new = home is None
        self._home = home or Path(tempfile.mkdtemp(prefix="tandem-benchmark-"))
        began = time.perf_counter()
        try:
            with self._at_home():
                address = background.ensure(self._config)
        except TandemError as error:
            self._clear()
            raise Missing(error.message) from error
        self.ready_ms = (time.perf_counter() - began) * 1000
        name = f"engine {dtype}"
        super().__init__(name, address.url, address.token, address.pid, heals=True)

    def health(self) -> dict[str, Any]:
        """What /health tells whoever has the token."""
        return self._http.get(str(self._http.base_url).removesuffix("v1/") + "health").json()

    def can(self, capability: str) -> bool:
        """Whether the served model says so."""
        cards = self._http.get("models").json()["data"]
        return capability in cards[0]["capabilities"]

    def close(self) -> None:
        super().close()
        with self._at_home():
            background.stop(self._config)
        self._clear()

    def _clear(self) -> None:
        if self._is_new:
            shutil.rmtree(self._home, ignore_errors=True)

    @contextlib.contextmanager
    def _at_home(self) -> Iterator[None]:
        """Engines are found by their settings, and not by all of them: each gets its own folder."""
        before = os.environ.get("TANDEM_HOME")
        os.environ["TANDEM_HOME"] = str(self._home)
        try:
            yield
        finally:
            if before is None:
                del os.environ["TANDEM_HOME"]
            else:
                os.environ["TANDEM_HOME"] = before


@contextlib.contextmanager
def used_home(model: Path) -> Iterator[tuple[Path, float]]:
    """User folders in which the model's engine ran before, and milliseconds of that first start.

    It compiles the kernels, packs the weights, and holds to its end what it needed for that.
    """
    with tempfile.TemporaryDirectory(prefix="tandem-benchmark-") as name:
        first = Ours(model, "auto", Path(name))
        first.close()
        yield Path(name), first.ready_ms
