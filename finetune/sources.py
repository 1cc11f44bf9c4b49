"""What the shipped model learns from: packages pinned by version and hash, with their licences.

`sources.toml` is the list. Only permissive licences are trained on; some packages are held out
whole, for validation and for test. Fetching uses pip, npm and apt-get, and runs no code of a
package.

    python -m finetune.sources CACHE     fetch what is missing and check every hash
"""

import hashlib
import importlib.metadata
import re
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import tomllib
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from finetune.files import LANGUAGE_OF, Entry, in_folder
from tandem.errors import TandemError

FORMAT = 1
SPLITS = ("train", "validation", "test")
# SPDX names. An expression joined by AND needs all of them, one joined by OR any.
PERMISSIVE = {
    *("MIT", "MIT-0", "MIT-CMU", "BSD-2-Clause", "BSD-3-Clause", "0BSD", "Apache-2.0", "ISC"),
    *("PSF-2.0", "Python-2.0", "Zlib", "Unlicense", "BlueOak-1.0.0", "HPND", "BSL-1.0", "CC0-1.0"),
}
_FILE = Path(__file__).with_name("sources.toml")
_STDLIB_SKIPPED = re.compile(r"(?:test|idlelib|turtledemo|encodings|lib2to3|site-packages)/")

_DEBIAN = re.compile(
    r"\A\./usr/(?:share/(?:gocode/src|cargo/registry|go-[\d.]+)|src/rustc-[\d.]+)/"
)


@dataclass(frozen=True)
class Source:
    """A package. `kind` is "wheel", "npm", "deb", "stdlib" or "installed"; the last two are
    what this Python has, by version, and have no `file`."""

    name: str
    kind: str
    version: str
    licence: str
    split: str = "train"
    file: str = ""
    sha256: str = ""


def listed() -> list[Source]:
    """The sources of the shipped model, by kind and name."""
    data = tomllib.loads(_FILE.read_text("utf-8"))
    assert data["v"] == FORMAT
    return [Source(**row) for row in data["source"]]


def is_permissive(licence: str) -> bool:
    """Whether an SPDX expression allows training and shipping with no more than attribution."""
    return any(
        all(name.strip("() ") in PERMISSIVE for name in choice.split(" AND "))
        for choice in licence.split(" OR ")
    )


def entries_of(source: Source, cache: Path, skips: Counter[str]) -> Iterator[Entry]:
    """A source's files. Raises TandemError if it is missing, or not the one that was pinned."""
    if source.kind in ("npm", "deb"):
        file = _checked(source, cache)
        return _in_deb(file) if source.kind == "deb" else _in_tar(file)
    if source.kind == "wheel":
        entries = _in_zip(_checked(source, cache))
    elif source.kind == "stdlib":
        _check_version(source, ".".join(map(str, sys.version_info[:2])))
        root = Path(sysconfig.get_path("stdlib"))
        entries = (e for e in in_folder(root, skips) if not _STDLIB_SKIPPED.match(e.path))
    else:
        entries = _installed(source)
    # Python only: the headers and bundled scripts of these are others' work, often C++.
    return (entry for entry in entries if entry.path.endswith(".py"))


def _installed(source: Source) -> Iterator[Entry]:
    try:
        distribution = importlib.metadata.distribution(source.name)
    except importlib.metadata.PackageNotFoundError as error:
        raise TandemError(
            f"{source.name} {source.version} is not installed.", f"pip install {source.name}"
        ) from error
    _check_version(source, distribution.version.split("+")[0])
    for file in sorted(map(str, distribution.files or ())):
        path = Path(str(distribution.locate_file(file)))
        if path.is_file() and not file.startswith(".."):
            yield Entry(file, path.stat().st_size, path.read_bytes)


def _in_zip(file: Path) -> Iterator[Entry]:
    with zipfile.ZipFile(file) as archive:
        for member in sorted(archive.infolist(), key=lambda member: member.filename):
            if not member.is_dir():
                name = member.filename
                yield Entry(name, member.file_size, lambda member=member: _unzipped(file, member))


def _unzipped(file: Path, member: zipfile.ZipInfo) -> bytes:
    with zipfile.ZipFile(file) as archive:
        return archive.read(member)


def _in_tar(file: Path) -> Iterator[Entry]:
    """Without the one folder that holds all."""
    with tarfile.open(file) as archive:
        for name, data in _members(archive):
            yield Entry(name.split("/", 1)[-1], len(data), lambda data=data: data)


def _in_deb(file: Path) -> Iterator[Entry]:
    """Without the folders that Debian puts all sources of a language in."""
    command = ["dpkg-deb", "--fsys-tarfile", file]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE) as process,
        tarfile.open(fileobj=process.stdout, mode="r|") as archive,
    ):
        for name, data in _members(archive):
            yield Entry(_DEBIAN.sub("", name), len(data), lambda data=data: data)


def _members(archive: tarfile.TarFile) -> Iterator[tuple[str, bytes]]:
    """Names and contents of source files. Read at once: a compressed tar has no index."""
    for member in archive:
        wanted = member.isfile() and Path(member.name).suffix.lower() in LANGUAGE_OF
        stream = archive.extractfile(member) if wanted else None
        if stream:
            yield member.name, stream.read()


def _check_version(source: Source, found: str) -> None:
    if found != source.version:
        raise TandemError(
            f"{source.name} is {found} here, but {source.version} was pinned.",
            f"Use {source.name} {source.version}.",
        )


def _checked(source: Source, cache: Path) -> Path:
    _check_hash(source, cache / source.file)
    return cache / source.file


def _check_hash(source: Source, file: Path) -> None:
    try:
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise TandemError(
            f"{source.file} is not in {file.parent}.",
            f"Run: python -m finetune.sources {file.parent}",
        ) from error
    if digest != source.sha256:
        raise TandemError(
            f"{file} is not the file that was pinned: its sha256 is {digest}.", "Remove it."
        )


def fetch(source: Source, cache: Path) -> None:
    """Get a source's file into the cache unless it is there, and check its hash.

    Raises TandemError if it cannot be had.
    """
    file = cache / source.file
    if source.file and not file.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            got = _fetched(source, Path(folder))
            _check_hash(source, got)
            got.replace(file)
    elif source.file:
        _check_hash(source, file)


def _fetched(source: Source, folder: Path) -> Path:
    if source.kind == "wheel":
        _, abi, platforms = source.file.removesuffix(".whl").rsplit("-", 3)[1:]
        tags = [f"--platform={tag}" for tag in platforms.split(".")]
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest=."]
        command += ["--only-binary=:all:", "--python-version=3.11", f"--abi={abi}", *tags]
        _run(source, [*command, f"{source.name}=={source.version}"], folder)
    elif source.kind == "npm":
        _run(source, ["npm", "pack", "--silent", f"{source.name}@{source.version}"], folder)
    else:
        assert source.kind == "deb", source.kind
        _run(source, ["apt-get", "download", "-q", f"{source.name}={source.version}"], folder)
    return folder / source.file


def _run(source: Source, command: list[str], folder: Path) -> str:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    except OSError as error:
        raise TandemError(
            f"Cannot fetch {source.name}: there is no {command[0]} here.", f"Install {command[0]}."
        ) from error
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no reason given"]
        raise TandemError(f"Cannot fetch {source.name}: {lines[-1]}", "Try again later.")
    return done.stdout


def _main(cache: Path) -> None:
    for source in listed():
        fetch(source, cache)
        print(f"{source.name} {source.version}  {source.licence}  {source.split}")


if __name__ == "__main__":
    try:
        _main(Path(sys.argv[1]))
    except TandemError as error:
        sys.exit(f"{error.message} {error.hint}")
