"""One shared engine in the background: start it, find it again, stop it.

There is one for each user, model, shipped difference, weight type, device, context, form of
adapters and version of Tandem. Its files lie in `state_dir()/engine`, which only the user may enter:
  KEY.json   address, token and process id, written once the socket is open
  KEY.life   locked by the engine for as long as it lives: the kernel unlocks it whatever happens
  KEY.start  locked while somebody starts an engine, so that two editors share one
  KEY.log    what the engine had to say, at most `MAX_LOG` bytes
"""

import contextlib
import hashlib
import json
import os
import re
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import filelock
import httpx
import psutil

from completion import models
from completion.engine import shipped
from tandem import __version__, paths
from tandem.config import Config
from tandem.errors import EngineError

FORMAT = 1
MAX_LOG = 1024 * 1024
# An engine that answers nothing for this long hangs; loading answers, however long it takes.
SILENT_SECONDS = 60.0
STOP_SECONDS = 10.0
_POLL_SECONDS = 0.05

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Address:
    """Where an engine listens. `url` ends in /v1, as OpenAI clients want it."""

    url: str
    token: str
    pid: int
    model: str


@dataclass(frozen=True)
class Files:
    """The files of one engine; see the module's head."""

    state: Path
    life: Path
    start: Path
    log: Path


def find(config: Config) -> Address | None:
    """The engine for these settings, if one lives and is ready."""
    files = files_for(config)
    address = _read(files)
    ready = address is not None and _health(address).get("status") == "ok"
    return address if ready else None


def ensure(config: Config, progress: Tell | None = None) -> Address:
    """Find the engine or start it, and wait until it is ready. Blocking.

    `progress` is told what is waited for, about once a second; whatever it raises ends the
    waiting, not the engine. Raises ModelError if the model cannot be found, EngineError if the
    engine does not start.
    """
    assert not config.endpoint, "an explicit endpoint needs no engine of ours"
    if (address := find(config)) is not None:
        return address
    model = models.resolve(config.model)
    files = files_for(config)
    tell = _once_a_second(progress or (lambda _: None))
    while True:
        with _lock(files.start, tell):
            process = None if _is_locked(files.life) else _spawn(config, files)
            while process and process.poll() is None and not _is_locked(files.life):
                tell("starting the engine")
                time.sleep(_POLL_SECONDS)
        if (address := _when_ready(files, process, model.name, tell)) is not None:
            return address
        # The engine that somebody else started has just ended, perhaps idle: start our own.


def stop(config: Config) -> bool:
    """End the engine for these settings; whether there was one. Blocking, for some seconds."""
    files = files_for(config)
    address = _read(files)
    if address is None:
        return False
    with contextlib.suppress(psutil.NoSuchProcess):
        end(psutil.Process(address.pid))
    return True


def end(process: psutil.Process) -> None:
    """End an engine's process: ask, wait, then insist."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except psutil.TimeoutExpired:
            process.kill()
            process.wait(STOP_SECONDS)


def files_for(config: Config) -> Files:
    """Where the engine for these settings keeps its files. Makes their folder."""
    model, engine = _identity(config.model), config.engine
    kind = [engine.dtype, engine.device, engine.context, engine.adapters]
    identity = json.dumps([__version__, shipped.stamp(), model, *kind])
    digest = hashlib.sha256(identity.encode()).hexdigest()[:12]
    name = re.sub(r"[^A-Za-z0-9.-]+", "-", Path(model).name)[:40]
    folder = paths.private_dir(paths.state_dir() / "engine")
    folder.chmod(0o700)
    stem = f"{name}-{digest}"
    return Files(*(folder / f"{stem}.{kind}" for kind in ("json", "life", "start", "log")))


@contextlib.contextmanager
def registered(files: Files) -> Iterator[Callable[[Address], None]]:
    """Be the engine of these files, for the block's time. Yields how to announce the address.

    Raises EngineError if another engine lives.
    """
    life = filelock.FileLock(files.life, mode=0o600)
    try:
        # Others hold it for a moment when they look whether we live.
        life.acquire(timeout=5, poll_interval=_POLL_SECONDS)
    except filelock.Timeout:
        raise EngineError("Another engine serves this model already.") from None
    try:
        files.state.unlink(missing_ok=True)
        yield lambda address: _write(files, address)
    finally:
        # Only the holder of the lock writes this file, so it is still our own.
        files.state.unlink(missing_ok=True)
        life.release()


def user_token() -> tuple[str, Path]:
    """The token of `tandem serve` in the foreground, the same each time, and its file."""
    file = paths.private_dir(paths.state_dir() / "engine") / "token"
    with contextlib.suppress(FileNotFoundError):
        if token := file.read_text("ascii").strip():
            file.chmod(0o600)
            return token, file
    token = secrets.token_urlsafe(32)
    with paths.atomic_write(file) as stream:
        stream.write(token + "\n")
    return token, file


def trim_log() -> None:
    """Called by the engine now and then: its standard error is its log, opened for appending."""
    if os.fstat(sys.stderr.fileno()).st_size > MAX_LOG:
        os.ftruncate(sys.stderr.fileno(), 0)


def _when_ready(
    files: Files, process: subprocess.Popen[bytes] | None, model: str, tell: Tell
) -> Address | None:
    """The ready engine's address; None if it was not ours (no `process`) and is gone."""
    began = heard = time.monotonic()
    while True:
        address = _read(files)
        health = _health(address) if address else {}
        status = health.get("status")
        if address is not None and status == "ok":
            return address
        if status == "failed":
            raise EngineError(f"The engine did not start: {health.get('error')}", _hint(files))
        if process is not None and process.poll() is not None:
            raise EngineError(
                f"The engine did not start: {_last_words(files, process)}", _hint(files)
            )
        if process is None and not _is_locked(files.life):
            return None
        now = time.monotonic()
        heard = now if health else heard
        if now - heard > SILENT_SECONDS:
            pid = address.pid if address else "unknown"
            raise EngineError(
                f"The engine (process {pid}) has not answered for {SILENT_SECONDS:.0f} s.",
                f"End that process and try again. {_hint(files)}",
            )
        tell(f"loading {model} ({now - began:.0f} s)")
        time.sleep(_POLL_SECONDS)


def _spawn(config: Config, files: Files) -> subprocess.Popen[bytes]:
    """Start an engine that outlives us and our terminal."""
    settings = config.model_dump_json(include={"engine"})
    environment = dict(os.environ)
    if home := environment.get("TANDEM_HOME"):
        environment["TANDEM_HOME"] = str(Path(home).resolve())
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND
    log = os.open(files.log, flags, 0o600)
    try:
        process = subprocess.Popen(
            # -P: the current folder may be somebody else's repository; import nothing from it.
            [sys.executable, "-P", "-m", "completion.engine", _identity(config.model), settings],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd=files.log.parent,
            env=environment,
        )
    finally:
        os.close(log)
    # Somebody must take its exit status, or it stays a zombie for as long as we live.
    threading.Thread(target=process.wait, name="engine-reaper", daemon=True).start()
    return process


def _identity(model: str) -> str:
    """A model's name in the store, or its folder's absolute path."""
    path = Path(model).expanduser()
    stored = any(known.name == model for known in models.installed())
    return str(path.resolve()) if path.is_dir() and not stored else model


def _write(files: Files, address: Address) -> None:
    started = psutil.Process(address.pid).create_time()
    with paths.atomic_write(files.state) as stream:
        json.dump({"v": FORMAT, **asdict(address), "process_started": started}, stream)


def _read(files: Files) -> Address | None:
    """The address of an engine that lives. A killed engine's file, or its number given to
    another process since, is not taken for one."""
    try:
        state = json.loads(files.state.read_text("utf-8"))
        if state.pop("v") != FORMAT:
            return None
        started = float(state.pop("process_started"))
        address = Address(**state)
        same = abs(psutil.Process(address.pid).create_time() - started) < 1
    except (OSError, ValueError, KeyError, TypeError, AttributeError, psutil.Error):
        return None
    return address if same and _is_locked(files.life) else None


def _health(address: Address) -> dict[str, str]:
    """What the engine says of itself; nothing if it does not answer, or is not ours."""
    try:
        response = httpx.get(
            address.url.removesuffix("/v1") + "/health",
            headers={"Authorization": f"Bearer {address.token}"},
            timeout=2.0,
            trust_env=False,  # a proxy has no business between us and this machine
        )
        body = response.json()
    except (httpx.HTTPError, ValueError):
        return {}
    ours = isinstance(body, dict) and body.get("pid") == address.pid
    return body if ours else {}


def _is_locked(file: Path) -> bool:
    probe = filelock.FileLock(file, mode=0o600)
    try:
        probe.acquire(timeout=0)
    except filelock.Timeout:
        return True
    probe.release()
    return False


@contextlib.contextmanager
def _lock(file: Path, tell: Tell) -> Iterator[None]:
    lock = filelock.FileLock(file, mode=0o600)
    while True:
        try:
            lock.acquire(timeout=0.5, poll_interval=_POLL_SECONDS)
            break
        except filelock.Timeout:
            tell("waiting for the engine that another program starts")
    try:
        yield
    finally:
        lock.release()


def _once_a_second(progress: Tell) -> Tell:
    last = 0.0

    def tell(message: str) -> None:
        nonlocal last
        if time.monotonic() - last >= 1:
            last = time.monotonic()
            progress(message)

    return tell


def _last_words(files: Files, process: subprocess.Popen[bytes]) -> str:
    with contextlib.suppress(OSError):
        lines = files.log.read_bytes()[-4096:].decode("utf-8", "replace").split("\n")
        if said := [line.strip() for line in lines if line.strip()]:
            return said[-1]
    return f"it ended with status {process.returncode} and said nothing."


def _hint(files: Files) -> str:
    return f"Its log: {files.log}"
