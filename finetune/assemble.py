"""Puts the parts of a training bundle together on the GPU machine; needs Python alone.

    python3 finetune/assemble.py add build/train-bundle/part-00
    python3 finetune/assemble.py status
    python3 finetune/assemble.py unpack

`parts.json`, which must lie beside each part, tells size and sha256 of every part and of the
whole. Parts are kept in a store (`--store`, ~/tandem-bundle), in any order; to add one twice does
no harm. `unpack` leaves the bundle in the store's folder `bundle`.
"""

import argparse
import hashlib
import io
import json
import shutil
import sys
import tarfile
from pathlib import Path
from typing import Any

FORMAT = 1
PARTS = "parts.json"
BUNDLE = "bundle"
_CHUNK = 1 << 20


class BundleError(Exception):
    """A part, or the store, is not what it should be. The text says which, and what to do."""


def add(part: Path, store: Path) -> str:
    """Check a part and keep it. Returns what to tell. Raises BundleError."""
    listed = _read_list(part.parent / PARTS)
    wanted = next((entry for entry in listed["parts"] if entry["name"] == part.name), None)
    if wanted is None:
        raise BundleError(f"{part.name} is no part of this bundle, says {part.parent / PARTS}.")
    if not part.is_file():
        raise BundleError(f"{part} does not exist.")
    _demand(part, wanted)
    store.mkdir(parents=True, exist_ok=True)
    kept = store / PARTS
    if kept.exists() and _read_list(kept)["sha256"] != listed["sha256"]:
        raise BundleError(f"{store} has parts of another bundle: delete that folder first.")
    _keep(part, store / part.name)
    _demand(store / part.name, wanted)
    _keep(part.parent / PARTS, kept)
    return status(store)


def status(store: Path) -> str:
    """One line: which parts are there and which are missing."""
    if not (store / PARTS).exists():
        return f"{store} has no parts yet."
    names = [entry["name"] for entry in _read_list(store / PARTS)["parts"]]
    missing = [name for name in names if not (store / name).exists()]
    there = f"{len(names) - len(missing)} of {len(names)} parts in {store}"
    unpacked = ", unpacked" if (store / BUNDLE).exists() else ""
    return f"{there}, missing: {', '.join(missing)}" if missing else f"{there}: whole{unpacked}"


def unpack(store: Path) -> Path:
    """The unpacked bundle's folder; made once, whole or not at all. Raises BundleError."""
    target = store / BUNDLE
    if not (store / PARTS).exists():
        raise BundleError(f"{store} has no parts yet: add them first.")
    listed = _read_list(store / PARTS)
    mark = target / PARTS
    if mark.exists() and _read_list(mark)["sha256"] == listed["sha256"]:
        return target
    for entry in listed["parts"]:
        if not (store / entry["name"]).exists():
            raise BundleError(f"{entry['name']} is missing: {status(store)}.")
        _demand(store / entry["name"], entry)
    work = store / f".{BUNDLE}.tmp"
    shutil.rmtree(work, ignore_errors=True)
    try:
        whole = _Joined([store / entry["name"] for entry in listed["parts"]])
        with tarfile.open(fileobj=io.BufferedReader(whole, _CHUNK), mode="r|xz") as archive:
            archive.extractall(work, filter="data")
        while whole.read(_CHUNK):  # what follows the archive's end belongs to the hash too
            pass
        if whole.digest.hexdigest() != listed["sha256"]:
            raise BundleError("The parts do not make up the bundle: build it again.")
        shutil.copy(store / PARTS, work / PARTS)
        shutil.rmtree(target, ignore_errors=True)
        work.rename(target)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise BundleError(f"The bundle cannot be unpacked in {store}: {error}.") from None
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return target


class _Joined(io.RawIOBase):
    """Files one after the other, read once; `digest` is of what was read."""

    def __init__(self, files: list[Path]) -> None:
        self._files = iter(files)
        self._stream = next(self._files).open("rb")
        self.digest = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not (count := self._stream.readinto(buffer)):  # pyright: ignore[reportAttributeAccessIssue]
            self._stream.close()
            following = next(self._files, None)
            if following is None:
                self._files = iter(())
                self._stream = io.BytesIO()
                return 0
            self._stream = following.open("rb")
        self.digest.update(memoryview(buffer)[:count])
        return count


def _keep(source: Path, target: Path) -> None:
    work = target.with_name(f".{target.name}.tmp")
    try:
        shutil.copyfile(source, work)
        work.replace(target)
    except OSError as error:
        work.unlink(missing_ok=True)
        raise BundleError(f"{target} cannot be written: {error.strerror}.") from None


def _demand(file: Path, wanted: dict[str, Any]) -> None:
    with file.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if file.stat().st_size != wanted["size"] or found != wanted["sha256"]:
        raise BundleError(
            f"{file.name} is damaged ({file.stat().st_size} bytes, sha256 {found[:12]}; "
            f"{wanted['size']} bytes, {wanted['sha256'][:12]} expected): send it again."
        )


def _read_list(file: Path) -> dict[str, Any]:
    try:
        listed = json.loads(file.read_text("utf-8"))
    except OSError as error:
        raise BundleError(f"{file} cannot be read: {error.strerror}.") from None
    except ValueError:
        raise BundleError(f"{file} is damaged: send it again.") from None
    if not isinstance(listed, dict) or listed.get("v") != FORMAT:
        raise BundleError(f"{file} is of another version of Tandem: build the bundle again.")
    return listed


def main() -> int:
    parser = argparse.ArgumentParser(description="Put the parts of a training bundle together.")
    parser.add_argument("--store", type=Path, default=Path.home() / "tandem-bundle")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("add", help="check parts and keep them").add_argument(
        "parts", type=Path, nargs="+"
    )
    commands.add_parser("status", help="which parts are there")
    commands.add_parser("unpack", help="make the bundle's folder of all parts")
    told = parser.parse_args()
    try:
        if told.command == "add":
            for part in told.parts:
                print(add(part, told.store))
        elif told.command == "status":
            print(status(told.store))
        else:
            print(unpack(told.store))
    except BundleError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
