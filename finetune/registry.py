"""The registry of adapters: put one in, use it for a repository, go back, take it out.

The store is read by `completion.adapters` and `completion.activations`; this is the one that
writes it. A folder with an adapter's name is whole: it is built beside, checked, and renamed.
All changes are made under one lock.
"""

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import filelock

from completion import activations, adapters, lora, manifest
from completion.activations import Entry, History
from completion.adapters import Adapter, Base, Manifest
from finetune import gate
from tandem import paths
from tandem.errors import ModelError, TandemError, UsageError

KEPT_ENTRIES = 10_000
_LOCK_SECONDS = 60


def register(source: Path, known: Manifest, base: Base) -> Adapter:
    """Put peft's folder `source` into the store under `known.name`; `files` is filled in.

    Raises UsageError for a name that is taken or cannot be one; ModelError if the folder is no
    LoRA that fits `base`, or the disk is full. The store is then as it was.
    """
    folder = adapters.folder_of(known.name)
    if known.name == known.base:
        raise UsageError(f"{known.name} is the base model's name.", "Choose another name.")
    if (known.base, known.base_hash) != (base.name, base.hash):
        raise ModelError(
            f"The adapter's base is not {base.name} as it is here.",
            f"Run: {adapters.retune(known)}",
        )
    try:
        with _locked():
            if folder.exists():
                raise UsageError(f"There is an adapter {known.name}.", "Choose another name.")
            lora.examine(source, base.folder)
            _put(source, known, base, folder)
    except OSError as error:
        raise ModelError(
            f"Could not keep the adapter in {folder.parent}: {error.strerror or error}.",
            "Free some space, or set TANDEM_HOME to another folder.",
        ) from error
    return adapters.read(known.name)


def new_name(repository: Path) -> str:
    """A free name for an adapter of a repository: its folder's name and a number."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", repository.resolve().name)[:80].lstrip("._-")
    taken = set(adapters.names())
    numbers = range(1, len(taken) + 2)
    return next(name for n in numbers if (name := f"{stem or 'adapter'}-{n}") not in taken)


def verdict(adapter: Adapter) -> gate.Verdict:
    """What the gate says of an adapter's figures."""
    return gate.judge(gate.Figures.from_json(adapter.manifest.figures))


def activate(name: str, repository: Path, base: Base, force: bool = False) -> gate.Verdict:
    """Use an adapter for a repository. `force` overrides the gate and nothing else.

    Returns what the gate said. Raises UsageError or ModelError if the adapter cannot be used,
    see `adapters.resolve`, or if the gate refuses it.
    """
    with _locked():
        adapter = adapters.resolve(name, base, thorough=True)
        judged = verdict(adapter)
        if not judged.passed and not force:
            raise ModelError(
                f"The gate refuses {name}: {'; '.join(judged.refusals)}.",
                f"More commits may help: {adapters.retune(adapter.manifest)}. "
                "Or overrule it with --force.",
            )
        _record("use", name, repository, base.name, list(judged.refusals))
    return judged


def roll_back(repository: Path, base: Base) -> str | None:
    """Go back to what the repository used before, or to the base; the adapter's name or None.

    What cannot be loaded any more is passed over. Raises UsageError if nothing is in use.
    """
    with _locked():
        key = activations.key(repository)
        names = activations.stack(activations.history(), key, base.name)
        if not names:
            raise UsageError(
                f"{repository} uses no adapter over {base.name}.", "See: tandem adapters list"
            )
        usable = (name for name in reversed(names[:-1]) if _loads(name, base))
        back = next(usable, "")
        _record("rollback", back, repository, base.name)
    return back or None


def remove(name: str) -> list[str]:
    """Delete an adapter; where it was in use the base is used from now on.

    Returns those repositories. Raises UsageError if there is none of that name.
    """
    folder = adapters.folder_of(name)
    try:
        with _locked():
            if not folder.is_dir():
                raise UsageError(f"There is no adapter {name}.", "See: tandem adapters list")
            used = users(name)
            # First out of use: a folder that is missing half way would be asked for in vain.
            _record("remove", name)
            doomed = Path(tempfile.mkdtemp(dir=folder.parent, prefix=_partial(name)))
            folder.rename(doomed / "old")
            shutil.rmtree(doomed)
    except OSError as error:
        raise ModelError(
            f"Could not remove {folder}: {error.strerror or error}.", "Remove it by hand."
        ) from error
    return used


def users(name: str) -> list[str]:
    """The repositories that use an adapter now."""
    places = activations.in_use(activations.history())
    return sorted({repository for (repository, _), used in places.items() if used == name})


def _put(source: Path, known: Manifest, base: Base, folder: Path) -> None:
    """Build the folder beside its place, look at it again there, and rename it."""
    for leftover in folder.parent.glob(f"{_partial(known.name)}*"):  # of a killed process
        shutil.rmtree(leftover, ignore_errors=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=_partial(known.name)))
    try:
        built = temporary / "new"
        built.mkdir()
        for name in (lora.CONFIG, lora.WEIGHTS):
            _copy(source / name, built / name)
        lora.examine(built, base.folder)
        files = {name: manifest.sha256(built / name) for name in (lora.CONFIG, lora.WEIGHTS)}
        with paths.atomic_write(built / adapters.FILE) as stream:
            stream.write(known.model_copy(update={"files": files}).model_dump_json(indent=1))
        built.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _copy(source: Path, target: Path) -> None:
    """To the disk itself: a rename that outlives a power cut must not name an empty file."""
    with source.open("rb") as reader, target.open("wb") as writer:
        shutil.copyfileobj(reader, writer, 1 << 20)
        writer.flush()
        os.fsync(writer.fileno())


def _record(
    action: Literal["use", "rollback", "remove"],
    name: str,
    repository: Path | None = None,
    model: str = "",
    overridden: list[str] | None = None,
) -> None:
    """Append to the history. Raises ModelError if it is damaged or cannot be written."""
    entry = Entry(
        action=action,
        name=name,
        repository=activations.key(repository) if repository else "",
        model=model,
        time=manifest.now(),
        overridden=overridden or [],
    )
    entries = [*activations.history(), entry][-KEPT_ENTRIES:]
    try:
        with paths.atomic_write(activations.file()) as stream:
            stream.write(History(entries=entries).model_dump_json(indent=1) + "\n")
    except OSError as error:
        raise ModelError(
            f"Could not write {activations.file()}: {error.strerror or error}.",
            "Free some space and try again; nothing was changed.",
        ) from error


def _loads(name: str, base: Base) -> bool:
    try:
        adapters.resolve(name, base)
    except TandemError:
        return False
    return True


def _partial(name: str) -> str:
    return f".{name}.partial-"


@contextlib.contextmanager
def _locked() -> Iterator[None]:
    folder = paths.private_dir(paths.adapters_dir())
    lock = filelock.FileLock(folder / ".lock", mode=0o600)
    try:
        lock.acquire(timeout=_LOCK_SECONDS)
    except filelock.Timeout:
        raise ModelError("Another program changes the adapters.", "Try again later.") from None
    try:
        yield
    finally:
        lock.release()
