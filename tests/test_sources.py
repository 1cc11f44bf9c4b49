"""The list of sources, reading packages, and datasets split by package."""

import hashlib
import io
import json
import string
import subprocess
import sys
import tarfile
import zipfile
from collections import Counter
from pathlib import Path

import pytest

from finetune import cases, sources
from finetune.dataset import Dataset, build_from_sources
from finetune.encode import Mixture, samples, tree_jobs
from finetune.files import SourceFile
from finetune.neardup import long_lines
from finetune.sources import Source, entries_of, is_permissive
from finetune.store import SampleSet
from tandem.errors import TandemError
from tests.encoders import byte_encoder
from tests.repositories import module
from tests.test_dataset import content, decoded
from tests.test_snippets import SHAPES, USER

ENCODER = byte_encoder()
# The packages that no training of the shipped model has seen.
HELD_OUT = {
    *("rich", "httpx", "httpx2", "httpcore", "httpcore2", "jinja2", "starlette", "networkx"),
    *("click", "tqdm", "filelock", "markdown-it-py", "h11", "typer", "structlog", "tabulate"),
    *("cachetools", "pyjwt", "bottle", "peewee", "arrow"),
}


def pinned(cache: Path, name: str, files: dict[str, str], split: str = "train") -> Source:
    """A wheel of these files in the cache, and its row."""
    file = cache / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(file, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    return Source(name, "wheel", "1.0", "MIT", split, file.name, digest)


def tar_of(file: Path, files: dict[str, str], compression: str = "gz") -> bytes:
    with tarfile.open(file, f"w:{compression}") as archive:  # type: ignore[call-overload]
        for path, text in files.items():
            member = tarfile.TarInfo(path)
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return file.read_bytes()


def test_every_source_that_is_trained_on_is_permissive() -> None:
    for source in sources.listed():
        assert source.split in sources.SPLITS
        assert is_permissive(source.licence) or source.split != "train", source


def test_exactly_the_held_out_packages_are_held_out() -> None:
    rows = sources.listed()
    assert {source.name for source in rows if source.split != "train"} == HELD_OUT
    assert {source.split for source in rows} == set(sources.SPLITS)


def test_every_source_is_named_once_and_pinned() -> None:
    rows = sources.listed()
    assert len({source.name for source in rows}) == len(rows) > 150
    for source in rows:
        if source.kind not in ("stdlib", "installed"):
            assert len(source.sha256) == 64
            assert source.version in source.file.replace("%3a", ":"), source


@pytest.mark.parametrize(
    ("licence", "permissive"),
    [
        *(("MIT", True), ("Apache-2.0 AND MIT", True), ("(MIT OR GPL-2.0-only)", True)),
        *(("GPL-3.0-only", False), ("MIT AND MPL-2.0", False), ("", False)),
        ("LicenseRef-Own", False),
    ],
)
def test_permissive_licences_are_told_from_others(licence: str, permissive: bool) -> None:
    assert is_permissive(licence) == permissive


def test_files_of_a_wheel_and_of_an_npm_package_are_read(tmp_path: Path) -> None:
    wheel = pinned(tmp_path, "one", {"one/b.py": "b", "one/a.py": "a", "one/x.h": "x"})
    data = tar_of(tmp_path / "two-1.0.tgz", {"package/src/c.ts": "c", "package/image.png": "x"})
    npm = Source(
        "two", "npm", "1.0", "MIT", file="two-1.0.tgz", sha256=hashlib.sha256(data).hexdigest()
    )
    skips: Counter[str] = Counter()
    found = {e.path: e.read() for s in (wheel, npm) for e in entries_of(s, tmp_path, skips)}
    assert found == {"one/a.py": b"a", "one/b.py": b"b", "src/c.ts": b"c"}


def test_files_of_a_debian_package_are_read(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    source = tree / "usr" / "share" / "gocode" / "src" / "example.org" / "a.go"
    source.parent.mkdir(parents=True)
    source.write_text("package a\n")
    (tree / "DEBIAN").mkdir()
    (tree / "DEBIAN" / "control").write_text(
        "Package: a\nVersion: 1\nArchitecture: all\nMaintainer: A <a@example.org>\nDescription: a\n"
    )
    try:
        subprocess.run(
            ["dpkg-deb", "--build", tree, tmp_path / "a_1_all.deb"], check=True, capture_output=True
        )
    except FileNotFoundError:
        pytest.skip("no dpkg-deb on this machine")
    digest = hashlib.sha256((tmp_path / "a_1_all.deb").read_bytes()).hexdigest()
    row = Source("a", "deb", "1", "MIT", file="a_1_all.deb", sha256=digest)
    found = {entry.path: entry.read() for entry in entries_of(row, tmp_path, Counter())}
    assert found == {"example.org/a.go": b"package a\n"}


def test_the_standard_library_is_read_without_its_tests() -> None:
    version = ".".join(map(str, sys.version_info[:2]))
    row = Source("stdlib", "stdlib", version, "PSF-2.0")
    paths = {entry.path for entry in entries_of(row, Path(), Counter())}
    assert {"dataclasses.py", "json/decoder.py"} <= paths
    assert not any(path.startswith(("test/", "site-packages/")) for path in paths)


def test_an_installed_package_is_read() -> None:
    import importlib.metadata

    version = importlib.metadata.version("platformdirs")
    paths = [
        e.path
        for e in entries_of(Source("platformdirs", "installed", version, "MIT"), Path(), Counter())
    ]
    assert "platformdirs/unix.py" in paths
    assert not any(path.startswith("..") for path in paths)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (Source("gone", "wheel", "1", "MIT", file="gone-1.whl", sha256="0"), "is not in"),
        (Source("other", "wheel", "1", "MIT", file="other.whl", sha256="0"), "not the file that"),
        (Source("stdlib", "stdlib", "2.7", "PSF-2.0"), "was pinned"),
        (Source("platformdirs", "installed", "0.1", "MIT"), "was pinned"),
        (Source("no-such-package-here", "installed", "1", "MIT"), "is not installed"),
    ],
)
def test_a_source_that_is_missing_or_another_one_is_refused(
    tmp_path: Path, row: Source, message: str
) -> None:
    (tmp_path / "other.whl").write_bytes(b"changed")
    with pytest.raises(TandemError, match=message) as caught:
        list(entries_of(row, tmp_path, Counter()))
    assert caught.value.hint


def test_what_is_in_the_cache_is_checked_and_not_fetched(tmp_path: Path) -> None:
    row = pinned(tmp_path, "one", {"one/a.py": "a"})
    sources.fetch(row, tmp_path)
    (tmp_path / row.file).write_bytes(b"changed")
    with pytest.raises(TandemError, match="not the file that was pinned"):
        sources.fetch(row, tmp_path)


def test_a_package_that_cannot_be_had_is_one_error_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    row = Source("one", "wheel", "1.0", "MIT", file="one-1.0-py3-none-any.whl", sha256="0" * 64)
    with pytest.raises(TandemError, match="Cannot fetch one"):
        sources.fetch(row, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_wheel_is_fetched_by_pip_and_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    metadata = "Metadata-Version: 2.1\nName: one\nVersion: 1.0\n"
    wheel = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files = {"one-1.0.dist-info/METADATA": metadata, "one-1.0.dist-info/WHEEL": wheel}
    row = pinned(shelf, "one", files)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    sources.fetch(row, tmp_path / "cache")
    assert [file.name for file in (tmp_path / "cache").iterdir()] == [row.file]


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Source], Path]:
    """Three packages to learn from, of which one repeats a held-out one; two held out."""
    cache = tmp_path_factory.mktemp("cache")
    users = {
        f"shop/user_{a}.py": USER.replace("value_", f"value_{a}_of_it_").replace(
            "compute_", f"compute_{a}_of_it_"
        )
        for a in string.ascii_lowercase
    }
    held = {"shop/parts.py": module(*range(60, 70)), "pack/shapes.py": SHAPES, **users}
    others = {f"src/x{n}.ts": module(*range(100 + 5 * n, 105 + 5 * n)) for n in range(6)}
    data = tar_of(cache / "typed.tgz", {f"package/{name}": text for name, text in others.items()})
    digest = hashlib.sha256(data).hexdigest()
    typed = Source("typed", "npm", "1.0", "MIT", file="typed.tgz", sha256=digest)
    made = [
        pinned(
            cache, "able", {f"able/m{n}.py": module(*range(5 * n, 5 * n + 5)) for n in range(8)}
        ),
        pinned(
            cache,
            "copy",
            {
                "copy/parts.py": module(*range(60, 70)) + "\n\nx = 1\n",
                "copy/half.py": module(*range(60, 64)) + "\n\n" + module(*range(80, 86)),
                "copy/own.py": module(*range(90, 96)),
                "copy/again.py": module(*range(90, 96)) + "\n",
            },
        ),
        typed,
        pinned(
            cache,
            "check",
            {f"check/c{n}.py": module(*range(40 + n, 45 + n)) for n in (0, 6)},
            "validation",
        ),
        pinned(cache, "shop", held, "test"),
    ]
    return made, cache


def build(rows: tuple[list[Source], Path], out: Path, **options) -> Dataset:
    wanted = {"tokens": 40_000, "validation": 12, "cases": 10, **options}
    return build_from_sources(rows[0], ENCODER, out, rows[1], **wanted)


@pytest.fixture(scope="module")
def built(rows: tuple[list[Source], Path], tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return build(rows, tmp_path_factory.mktemp("built") / "data")


def test_held_out_packages_and_what_repeats_them_are_not_trained_on(built: Dataset) -> None:
    trained = "\n".join(decoded(built.train))
    assert set(built.manifest["train"]["source"]) == {"able", "copy", "typed"}
    assert "copy/again.py" in trained
    for path in ("copy/parts.py", "copy/half.py", "copy/own.py", "shop/", "check/"):
        assert path not in trained, path
    skipped = built.manifest["skipped"]
    assert skipped["shares lines with held-out"] == 2
    assert skipped["near-duplicate"] >= 1


def test_no_line_of_a_held_out_package_is_trained_on(
    rows: tuple[list[Source], Path], built: Dataset
) -> None:
    lines: dict[bool, set[str]] = {True: set(), False: set()}
    for row in rows[0]:
        for entry in entries_of(row, rows[1], Counter()):
            if entry.path not in ("copy/parts.py", "copy/half.py"):
                lines[row.split == "train"].update(long_lines(entry.read().decode()))
    only_held_out = lines[False] - lines[True]
    assert len(only_held_out) > 50
    trained = "\n".join(decoded(built.train))
    assert not [line for line in only_held_out if line in trained]


def test_cuts_keep_their_shares_where_few_files_get_a_hole() -> None:
    tree = [
        SourceFile(f"a/m{n}.py", "python", module(*range(n, n + 4)), "0" * 64) for n in range(2000)
    ]
    jobs = tree_jobs({"a": tree}, 150, seed=0)
    assert 100 < len(jobs) < 200
    made = samples(jobs, ENCODER, {}, Mixture(), 10**9)
    cuts = Counter(sample.cut for sample in made)
    assert cuts["statement"] > cuts["body"]
    assert cuts["body"] < 0.2 * len(made)


def test_validation_and_cases_are_of_their_own_packages(built: Dataset) -> None:
    assert set(built.manifest["validation"]["source"]) == {"check"}
    assert {case.source for case in built.cases()} == {"shop"}
    assert 0 < len(SampleSet.load(built.validation)) <= 12


def test_cross_file_cases_are_written_in_three_forms(built: Dataset) -> None:
    forms = [
        cases.load(built.folder / f"cross-file-{name}.jsonl")
        for name in ("right", "without", "useless")
    ]
    assert len(forms[0]) == len(forms[1]) == len(forms[2]) > 0
    for right, without, useless in zip(*forms, strict=True):
        assert right.middle == without.middle == useless.middle
        assert (len(right.snippets), len(without.snippets), len(useless.snippets)) == (1, 0, 1)


def test_other_languages_have_a_small_share_of_whole_lines(built: Dataset) -> None:
    languages = built.manifest["train"]["language"]
    share = languages["typescript"] / sum(languages.values())
    assert 0.02 < share < 0.25


def test_licences_are_told_of_each_source(built: Dataset) -> None:
    assert built.manifest["licences"] == dict.fromkeys(
        ("able", "copy", "typed", "check", "shop"), "MIT"
    )
    assert json.dumps(built.manifest["sources"]).count("sha256") == 5


def test_packages_give_the_same_bytes_on_one_process_and_on_two(
    rows: tuple[list[Source], Path], built: Dataset, tmp_path: Path
) -> None:
    assert content(build(rows, tmp_path / "again", processes=2).folder) == content(built.folder)


def test_a_source_that_changed_leaves_no_half_a_dataset(
    rows: tuple[list[Source], Path], tmp_path: Path
) -> None:
    with pytest.raises(TandemError, match="is not in"):
        build((rows[0], tmp_path), tmp_path / "out" / "data")
    assert list((tmp_path / "out").iterdir()) == []
