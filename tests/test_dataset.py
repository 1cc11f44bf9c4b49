"""Datasets of real repositories: what is in them, that nothing leaks, and what bad input gets."""

import hashlib
import itertools
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from finetune.dataset import Dataset, build_from_repository
from finetune.encode import Mixture
from finetune.store import SampleSet
from tandem.errors import TandemError, UsageError
from tests.encoders import byte_encoder
from tests.repositories import MadeRepository, function, grown, module
from tests.test_dataset_files import KEY, TOKEN

ENCODER = byte_encoder()
SMALL: dict[str, Any] = {"tokens": 25_000, "validation": 10, "cases": 12}


def build(made: MadeRepository, out: Path, **options) -> Dataset:
    return build_from_repository(made.folder, ENCODER, out, **{**SMALL, **options})


def decoded(folder: Path) -> Iterator[str]:
    found = SampleSet.load(folder)
    starts = found.starts()
    for begin, end in itertools.pairwise(starts):
        yield ENCODER.tokenizer.decode(found.ids[begin:end].tolist())


def content(folder: Path) -> dict[str, bytes]:
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeRepository:
    return grown(tmp_path_factory.mktemp("made") / "repository", 40)


@pytest.fixture(scope="module")
def built(made: MadeRepository, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return build(made, tmp_path_factory.mktemp("built") / "data")


def test_the_folder_holds_samples_cases_and_a_manifest(built: Dataset) -> None:
    train, validation = SampleSet.load(built.train), SampleSet.load(built.validation)
    told = built.manifest["train"]
    assert (len(train), train.tokens) == (told["samples"], told["tokens"])
    assert train.tokens >= SMALL["tokens"]
    assert 0 < len(validation) <= SMALL["validation"]
    assert 0 < len(built.cases()) <= SMALL["cases"]
    assert Dataset.load(built.folder) == built
    for counts in ("cut", "kind", "language", "source", "snippets"):
        assert sum(told[counts].values()) == told["samples"]


def test_samples_stand_in_commits_and_in_the_tree(built: Dataset) -> None:
    cuts = built.manifest["train"]["cut"]
    assert 0.25 < cuts["commit"] / sum(cuts.values()) < 0.65
    assert {"line", "statement"} < set(cuts)
    assert set(built.manifest["validation"]["cut"]) == {"commit"}


def test_the_manifest_tells_every_file_and_its_hash(made: MadeRepository, built: Dataset) -> None:
    for name, digest in built.manifest["files"].items():
        assert hashlib.sha256((built.folder / name).read_bytes()).hexdigest() == digest
    rows = (built.folder / "inputs.txt").read_text().splitlines()
    assert len(rows) == built.manifest["inputs"]
    split = built.manifest["split"]
    text = made.git("show", f"{split['train']}:pack/part1.py") + "\n"
    digest = hashlib.sha256(text.encode()).hexdigest()
    assert f"{digest}  'repository/pack/part1.py'" in rows
    licence = built.manifest["licences"]["repository"]
    assert licence == {"file": "LICENSE", "sha256": hashlib.sha256(b"MIT\n").hexdigest()}


def test_no_held_out_text_is_in_training(made: MadeRepository, built: Dataset) -> None:
    split = built.manifest["split"]
    held = made.git("log", "--patch", "--format=", f"{split['train']}..HEAD").splitlines()
    older = made.git("log", "--patch", "--format=", split["train"])
    added = {line[1:].strip() for line in held if line.startswith("+") and len(line) > 20}
    added = {line for line in added if line not in older}
    assert len(added) > 20
    trained = "\n".join(decoded(built.train))
    assert not [line for line in added if line in trained]


def test_cases_are_holes_in_lines_that_the_newest_commits_added(
    made: MadeRepository, built: Dataset
) -> None:
    split = built.manifest["split"]
    added = made.git("log", "--patch", "--format=", f"{split['validation']}..HEAD")
    old = "\n".join(
        made.git("show", f"{split['train']}:pack/part{number}.py") for number in range(4)
    )
    for case in built.cases():
        first = case.prefix.rsplit("\n", 1)[-1] + case.middle.split("\n")[0]
        assert f"+{first}" in added
        assert first not in old or len(first.strip()) < 25
        assert case.source == "repository"


def test_the_same_seed_gives_the_same_bytes_on_one_process_and_on_two(
    made: MadeRepository, built: Dataset, tmp_path: Path
) -> None:
    again = build(made, tmp_path / "again", processes=2)
    assert content(again.folder) == content(built.folder)
    assert again.hash == built.hash


def test_another_seed_gives_other_samples(
    made: MadeRepository, built: Dataset, tmp_path: Path
) -> None:
    other = build(made, tmp_path / "other", seed=1)
    assert other.hash != built.hash
    assert list(decoded(other.train)) != list(decoded(built.train))


def test_shares_of_the_mixture_show_in_the_samples(made: MadeRepository, tmp_path: Path) -> None:
    mixture = Mixture(without_suffix=1.0, without_path=1.0, right=0, useless=0)
    bare = build(made, tmp_path / "bare", mixture=mixture, tokens=8000)
    full = build(
        made,
        tmp_path / "full",
        mixture=Mixture(without_suffix=0.0, without_path=0.0),
        tokens=8000,
    )
    assert not any("pack/part" in text for text in decoded(bare.train))
    assert all("pack/part" in text for text in decoded(full.train))
    assert bare.manifest["mixture"]["without_suffix"] == 1.0


def test_samples_are_no_longer_than_the_mixture_allows(built: Dataset) -> None:
    assert SampleSet.load(built.train).lengths.max() <= Mixture().longest


def test_nothing_is_written_to_the_repository(made: MadeRepository, built: Dataset) -> None:
    assert made.git("status", "--porcelain") == ""


def test_nothing_secret_reaches_samples_or_cases(tmp_path: Path) -> None:
    made = MadeRepository(tmp_path / "repository")
    secret = f'API_TOKEN = "{TOKEN}"\n\n\n'
    made.commit({"a.py": secret + module(50, 51, 52), ".env": f"TOKEN={TOKEN}\n" * 20})
    for number in range(1, 16):
        made.commit(
            {
                f"part{number}.py": module(number, 60 + number)
                + f"\n\n{secret}{function(80 + number)}",
                f"keys{number}.py": f'{module(20 + number)}\nKEY = """{KEY}"""\n',
            }
        )
    built = build(made, tmp_path / "out", mixture=Mixture(largest_budget=1500, longest=3000))
    texts = [*decoded(built.train), *decoded(built.validation)]
    texts += [case.prefix + case.middle + case.suffix for case in built.cases()]
    assert any("API_TOKEN" in text for text in texts)
    for text in texts:
        assert TOKEN not in text
        assert "MIIEow" not in text
    assert "REDACTED" not in "".join(case.middle for case in built.cases())
    assert built.manifest["secrets_replaced"] > 0
    assert built.manifest["skipped"]["secret file"] == 1


def test_crlf_files_give_texts_with_newlines_only(tmp_path: Path) -> None:
    made = MadeRepository(tmp_path / "repository")
    made.git("config", "core.autocrlf", "false")
    text = module(50, 51)
    made.commit({"a.py": text.replace("\n", "\r\n")})
    for number in range(1, 14):
        text += "\n\n" + function(number)
        made.commit({"a.py": text.replace("\n", "\r\n")})
    built = build(made, tmp_path / "out", tokens=5000)
    assert built.manifest["train"]["cut"]["commit"] > 0
    assert not any("\r" in text for text in decoded(built.train))
    assert not any("\r" in case.prefix + case.middle + case.suffix for case in built.cases())


def test_latin_1_files_are_read_by_their_coding_line_or_counted(tmp_path: Path) -> None:
    made = MadeRepository(tmp_path / "repository")
    latin = ("# coding: latin-1\n# café\n" + module(50, 51)).encode("latin-1")
    wrong = ("# café\n" + module(52, 53)).encode("latin-1")
    made.commit({"latin.py": latin, "wrong.py": wrong})
    for number in range(1, 14):
        made.commit({f"part{number}.py": module(number, 20 + number)})
    built = build(made, tmp_path / "out", mixture=Mixture(smallest_budget=400), tokens=40_000)
    assert any("café" in text for text in decoded(built.train))
    assert built.manifest["skipped"]["not UTF-8"] == 1


def test_a_bare_repository_gives_the_same_samples(
    made: MadeRepository, built: Dataset, tmp_path: Path
) -> None:
    bare = tmp_path / "repository.git"
    made.git("clone", "--quiet", "--bare", ".", str(bare))
    again = build_from_repository(bare, ENCODER, tmp_path / "out", **SMALL)
    assert again.hash == built.hash


def test_five_thousand_files_are_handled_by_an_even_draw(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = MadeRepository(tmp_path / "repository")
    made.commit({f"d{n % 50}/f{n}.py": f"# {n}\n" + function(n % 144) for n in range(5000)})
    for number in range(1, 12):
        made.commit({f"part{number}.py": module(200 + number, 300 + number)})
    monkeypatch.setattr("finetune.build.MOST_FILES", 300)
    told: list[tuple[str, int, int]] = []
    built = build(made, tmp_path / "out", tokens=5000, progress=lambda *event: told.append(event))
    assert built.manifest["skipped"]["more than can be used"] > 4500
    assert built.manifest["inputs"] < 400
    stages = list(dict.fromkeys(stage for stage, _, _ in told))
    assert stages[:3] == ["Reading repository", "Reading commits", "Training samples"]
    assert all(done <= total or not total for _, done, total in told)


def test_texts_beyond_the_limit_are_left_out_and_counted(
    made: MadeRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("finetune.build.MOST_CHARACTERS", 3000)
    built = build(made, tmp_path / "out", tokens=3000)
    assert built.manifest["skipped"]["more than can be used"] >= 1


def no_repository(folder: Path) -> str:
    folder.mkdir()
    return "is no git repository"


def missing(folder: Path) -> str:
    return "There is no folder"


def without_commits(folder: Path) -> str:
    MadeRepository(folder)
    return "has no commits"


def one_commit(folder: Path) -> str:
    MadeRepository(folder).commit({"a.py": module(1)})
    return "has only one commit"


def only_binaries(folder: Path) -> str:
    made = MadeRepository(folder)
    for number in range(12):
        made.commit({"logo.png": b"\x89PNG\0" * (number + 1), "fake.py": b"\0" * (400 + number)})
    return "has no source code to learn from"


def nothing_new(folder: Path) -> str:
    made = MadeRepository(folder)
    for number in range(12):
        made.commit({f"part{number}.py": module(number, 20 + number)} if number < 7 else {})
    return "added no code to test on"


@pytest.mark.parametrize(
    "make", [no_repository, missing, without_commits, one_commit, only_binaries, nothing_new]
)
def test_a_repository_that_cannot_be_used_is_refused_and_leaves_nothing(
    tmp_path: Path, make
) -> None:
    message = make(tmp_path / "repository")
    with pytest.raises(UsageError, match=message) as caught:
        build_from_repository(
            tmp_path / "repository", ENCODER, tmp_path / "out" / "data", **{**SMALL, "tokens": 3000}
        )
    assert caught.value.hint
    assert "\n" not in caught.value.message
    assert not list((tmp_path / "out").glob("*")) if (tmp_path / "out").exists() else True


def test_a_folder_that_exists_is_not_overwritten(made: MadeRepository, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="exists already"):
        build(made, tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("text", ["", "{", '{"v": 99}', "[]"])
def test_a_folder_without_data_is_told_apart(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(UsageError, match="holds no training data"):
        Dataset.load(tmp_path)


SCRIPT = """
import sys
from pathlib import Path
from finetune.dataset import build_from_repository
from tests.encoders import byte_encoder

if __name__ == "__main__":
    def tell(stage, done, total):
        if stage == "Training samples" and done:
            print("started", flush=True)
    try:
        build_from_repository(
            Path(sys.argv[1]), byte_encoder(), Path(sys.argv[2]),
            tokens=50_000_000, processes=int(sys.argv[3]), progress=tell,
        )
    except KeyboardInterrupt:
        print("stopped", flush=True)
"""


@pytest.mark.parametrize("processes", [1, 2])
def test_ctrl_c_ends_all_processes_and_leaves_nothing(
    made: MadeRepository, tmp_path: Path, processes: int
) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    out = tmp_path / "out" / "data"
    run = subprocess.Popen(
        [sys.executable, script, made.folder, out, str(processes)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert run.stdout
    assert "started" in run.stdout.readline()
    os.killpg(run.pid, signal.SIGINT)  # as a terminal does: to every process of the command
    rest, _ = run.communicate(timeout=60)
    assert rest.splitlines()[-1] == "stopped"
    assert list(out.parent.iterdir()) == []
    for _ in range(100):
        try:
            os.killpg(run.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    pytest.fail("a process went on")


def test_a_process_that_dies_is_one_error_and_leaves_nothing(
    made: MadeRepository, tmp_path: Path
) -> None:
    def kill(stage: str, done: int, total: int) -> None:
        if stage == "Training samples":
            for child in multiprocessing.active_children():
                child.kill()

    with pytest.raises(TandemError, match="A process that made samples died"):
        build(made, tmp_path / "out" / "data", tokens=500_000, processes=2, progress=kill)
    assert list((tmp_path / "out").iterdir()) == []


def test_the_command_makes_a_dataset_or_says_in_one_line_why_not(
    made: MadeRepository, tmp_path: Path, tandem_home: Path
) -> None:
    def command(repository: Path, out: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "finetune.dataset", repository, out],
            cwd=Path(__file__).parent.parent,
            capture_output=True,
            text=True,
        )

    done = command(made.folder, tmp_path / "out")
    assert done.returncode == 0, done.stderr
    manifest = json.loads(Path(done.stdout.strip()).read_text())
    assert manifest["train"]["samples"] > 50
    failed = command(tmp_path, tmp_path / "other")
    assert failed.returncode == 1
    assert len(failed.stderr.splitlines()) == 1
