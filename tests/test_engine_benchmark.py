"""The engine's benchmark: its keys are real typing, its peers are asked fairly, it runs."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file

from benchmarks.parts import replay, speculation
from benchmarks.parts.keystrokes import Key, Prompter, Typist, files_in, keystrokes
from benchmarks.parts.speculation import edits
from benchmarks.parts.speed import Prompts
from benchmarks.peers import Answer, Missing, Worker, llama_cpp, weights
from benchmarks.peers.ours import weight_forms
from completion import convert, families, manifest, models
from completion.engine import shipped
from completion.manifest import InstalledModel, Manifest
from completion.templates import templates
from tandem import paths
from tests import tiny_gguf, tiny_models, tiny_shipped
from tests.repositories import module

REPOSITORY = Path(__file__).parent.parent


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three files with functions, and what nobody types in."""
    code = tmp_path / "code"
    (code / ".hidden").mkdir(parents=True)
    for number in range(3):
        (code / f"part{number}.py").write_text(module(*range(9 * number, 9 * number + 9)))
    (code / ".hidden" / "part.py").write_text(module(*range(9)))
    (code / "data.bin").write_text("x" * 5000)
    (code / "flat.py").write_text("a = 1\n" * 500)
    return code


def test_only_files_with_code_to_type_are_used(folder: Path) -> None:
    names = {file.name for file in files_in([folder], 1, 10)}
    assert names == {"part0.py", "part1.py", "part2.py"}


def test_the_same_seed_gives_the_same_keys_and_another_one_others(folder: Path) -> None:
    files = files_in([folder], 1, 2)
    assert keystrokes(files, 1, 300) == keystrokes(files, 1, 300)
    assert keystrokes(files, 1, 300) != keystrokes(files, 2, 300)


def test_each_file_gets_its_share_of_the_keys_in_a_row(folder: Path) -> None:
    files = files_in([folder], 1, 3)
    keys = keystrokes(files, 1, 1000)
    assert [key.file for key in keys] == sorted((k.file for k in keys), key=files.index)
    assert len(keys) == 1000
    assert {file: sum(key.file == file for key in keys) for file in files} == dict(
        zip(files, (334, 334, 332), strict=True)
    )


@pytest.mark.parametrize("seed", range(10))
def test_what_was_typed_is_in_the_end_what_stood_there(folder: Path, seed: int) -> None:
    import random

    file = folder / "part1.py"
    keys = list(Typist(file, file.read_text(), random.Random(seed)).keys())
    assert keys[-1].text == file.read_text()
    assert {key.action for key in keys} >= {"type", "jump"}


def test_each_key_changes_the_text_at_the_cursor_only(folder: Path) -> None:
    last: Key | None = None
    for key in keystrokes([folder / "part2.py"], 3, 150):
        if last is not None and key.action == "type":
            length = len(key.text) - len(last.text)
            assert length == 1 or key.text[key.offset - length] == "\n"
            start = key.offset - length
            assert key.text[:start] + key.text[key.offset :] == last.text
        elif last is not None and key.action == "delete":
            assert len(key.text) == len(last.text) - 1
        elif last is not None:
            assert key.text == last.text
        last = key


def test_prompts_are_those_of_a_completion(folder: Path) -> None:
    key = keystrokes([folder / "part0.py"], 1, 40)[-1]
    prompter = Prompter(templates()["plain"], lambda text: len(text) // 3, 200)
    healing, other = prompter.prompt(key, True), prompter.prompt(key, False)
    assert healing is not None
    assert other is not None
    before = key.text[: key.offset]
    assert before.endswith(healing.text + healing.heal)
    assert before.endswith(other.text + other.heal)
    assert not other.heal.strip()


def test_no_two_prompts_of_the_speed_part_begin_alike() -> None:
    prompts = Prompts(range(1000))
    found = [tuple(prompts.fresh(128)[:16]) for _ in range(100)]
    assert len(set(found)) == 100
    assert len(Prompts(range(50)).fresh(200)) == 200


def test_edits_ask_for_a_renamed_argument_and_predict_the_old_text(tmp_path: Path) -> None:
    body = "    first = rows[0]\n    for row in rows:\n        print(row)\n"
    (tmp_path / "a.py").write_text(f"def show(rows):\n{body}    rows.clear()\n    return first\n")
    (edit,) = edits([tmp_path / "a.py"], 1, 5, len)
    assert "`rows` to `new_rows`" in edit.question
    assert body in edit.question
    assert edit.prediction == edit.question[edit.question.index("```") :]
    assert edit.was_made(edit.prediction.replace("rows", "new_rows"))
    assert not edit.was_made("Sure! I would suggest that you first of all read the documentation.")


def test_answers_that_only_go_on_with_an_earlier_one_are_told_apart() -> None:
    texts = ["self.name = name\n", "elf.name = name\n", "self.age = age\n", "lf.name = name\n"]
    found = [replace(answer(1), text=text) for text in texts]
    pairs = list(zip(found, found, strict=True))
    assert [pair[0].text for pair in speculation._new(pairs)] == [texts[0], texts[2]]


def answer(total_ms: float, tokens: int = replay.TOKENS, cached: int = 95) -> Answer:
    return Answer("", tokens, 100, cached, total_ms / 2, total_ms)


def test_only_requests_that_all_answered_in_full_are_compared() -> None:
    answers: replay.Answers = {
        "a": [answer(1), answer(2, tokens=3), answer(3), None],
        "b": [answer(4), answer(5), answer(6), None],
    }
    found = replay.complete(answers)
    assert [a.total_ms for a in found["a"]] == [1, 3]
    assert [a.total_ms for a in found["b"]] == [4, 6]


def test_warm_and_cold_first_tokens_are_told_apart() -> None:
    figures = replay.figures([answer(100, cached=0), answer(10), answer(20), answer(99, cached=50)])
    assert figures["cold_first_ms"] == 50
    assert figures["warm_first_ms"] == 7.5
    assert figures["reused"] == 0.5


def test_a_peer_that_cannot_start_is_missing_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(Missing, match=r"needs Node|python -m benchmarks\.peers"):
        llama_cpp.start(tmp_path / "no.gguf", 1, 512)
    with pytest.raises(Missing, match="ended with status 3"):
        Worker("broken", [sys.executable, "-c", "raise SystemExit(3)"])


def bench(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks.engine", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=280, cwd=REPOSITORY)


def test_the_engine_is_measured_beside_its_peers(
    empty_home: Path, folder: Path, tmp_path: Path
) -> None:
    tiny_models.make(tmp_path / "tiny", "llama tied")
    file, picture = tmp_path / "figures.json", tmp_path / "growth.svg"
    result = bench(
        *("--quick", "--model", tmp_path / "tiny", "--files", folder, "--threads", 1),
        *("--only", "speed", "replay", "growth", "memory"),
        *("--json", file, "--plot", picture),
    )
    assert result.returncode == 0, result.stderr
    figures = json.loads(file.read_text())
    speed = figures["speed"]
    forms = {f"engine {form}" for form in weight_forms()}
    assert {"transformers float32"} <= set(speed)
    assert set(speed) | set(figures["missing"]) >= forms
    best = min(row["decode_ms"] for name, row in speed.items() if name in forms)
    name, _, value = result.stdout.splitlines()[-1].removeprefix("headline: ").partition(" ")
    assert name == "engine_decode_over_transformers_float32"
    assert float(value) == round(speed["transformers float32"]["decode_ms"] / best, 2)
    ours = figures["replay"]["engine auto"]
    assert 0 < ours["p50_ms"] <= ours["p95_ms"]
    assert 0 < ours["reused"] <= 1
    assert set(figures["growth"]["waiting"]) == {"1", "2", "4", "8", "16", "32"}
    assert picture.read_text().startswith("<?xml")
    assert figures["memory"]["ready_ms"] > 0
    assert "llama.cpp" in figures["missing"]
    assert "not asked for" in figures["missing"]["vLLM"]


def test_a_soak_counts_every_request(empty_home: Path, folder: Path, tmp_path: Path) -> None:
    tiny_models.make(tmp_path / "tiny", "llama tied")
    file = tmp_path / "figures.json"
    result = bench(*("--model", tmp_path / "tiny", "--files", folder, "--soak", 60, "--json", file))
    assert result.returncode == 0, result.stderr
    soak = json.loads(file.read_text())["soak"]
    assert sum(soak[name] for name in ("answered", "given up", "refused")) == 60
    assert soak["sizes_mb"][-1][0] == 60
    assert result.stdout.splitlines()[-1].startswith("headline: engine_soak_growth_mb ")


def test_an_unknown_model_is_told_in_one_line(empty_home: Path) -> None:
    result = bench("--model", "nobody/nothing")
    assert result.returncode == 1
    assert result.stderr.startswith("engine: Model nobody/nothing is not installed.")


def test_merged_weights_are_the_same_for_llama_cpp_and_for_us(
    empty_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    base = tiny_gguf.make(tmp_path / "base.gguf")
    model = installed(base)
    assert weights.of(models.DEFAULT, base).folder == model.folder
    made = tiny_shipped.difference(tiny_shipped.weights(model))
    file = tiny_shipped.save(made, model, tmp_path / "difference.safetensors")
    monkeypatch.setattr(shipped, "FILE", file)
    found = weights.of(models.DEFAULT, base)
    assert found.template == "tandem"
    wanted = made.apply(tiny_shipped.weights(model))
    got = load_file(found.folder / families.WEIGHTS)
    assert got.keys() == wanted.keys()
    for name, tensor in wanted.items():
        # Four bits: a step is a fifteenth of what a block of 32 spans.
        assert (got[name] - tensor).abs().max() <= (tensor.max() - tensor.min()) / 25, name
    again = tmp_path / "again"
    again.mkdir()
    convert.convert(found.gguf, again, manifest.silent)
    assert load_file(again / families.WEIGHTS)["model.norm.weight"].equal(got["model.norm.weight"])


def installed(base: Path) -> InstalledModel:
    """A GGUF file as the default model of the store."""
    folder = paths.models_dir() / models.DEFAULT
    folder.mkdir(parents=True)
    convert.convert(base, folder, manifest.silent)
    known = Manifest(
        name=models.DEFAULT,
        source="a test",
        licence="none",
        family="llama",
        template="plain",
        context=512,
        created=manifest.now(),
        files=manifest.record(folder, manifest.silent),
    )
    manifest.write(folder, known)
    return InstalledModel(models.DEFAULT, folder, known)
