"""How many developers one replica serves: the simulation against what can be told by hand, and
the benchmark before a real engine."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.parts.ledger import Asked as Request
from benchmarks.parts.ledger import Sitting
from benchmarks.parts.meter import Work
from benchmarks.parts.sizing import Asked, Rates, answer_times, arrivals, most
from benchmarks.sizing import Typed, recorded
from completion.engine.background import Address
from tandem.errors import UsageError
from tests import tiny_models
from tests.replicas import replicas

REPOSITORY = Path(__file__).parent.parent
RATES = Rates(1000.0, {1: 10.0, 4: 20.0})


def test_one_request_takes_its_reading_and_its_writing() -> None:
    assert answer_times([(0.0, Asked(0, 500, 20))], RATES, 4) == [pytest.approx(2.5)]


def test_two_at_once_share_what_is_written_and_read_one_after_the_other() -> None:
    pair = [(0.0, Asked(0, 0, 10)), (0.0, Asked(0, 0, 10))]
    rate = RATES.each(2)
    assert 10.0 > rate > 5.0
    assert answer_times(pair, RATES, 4) == [pytest.approx(10 / rate)] * 2
    assert answer_times(pair, RATES, 1) == [pytest.approx(1.0), pytest.approx(2.0)]
    read = [(0.0, Asked(0, 1000, 10)), (0.0, Asked(0, 1000, 10))]
    assert sorted(answer_times(read, RATES, 4))[0] > 2.0 - 1e-9


def test_rates_between_and_beyond_what_was_measured() -> None:
    assert RATES.each(1) == 10.0
    assert RATES.each(4) == 5.0
    assert RATES.each(8) == 2.5
    assert RATES.each(2) * 2 == pytest.approx(10 + 10 / 3)
    assert Rates(1.0, {2: 10.0}).each(1) == 5.0


def test_who_types_all_the_time_asks_as_was_recorded() -> None:
    coming = arrivals([Asked(2.0, 1, 1)], 1, 20.0, 1.0, 0)
    first = coming[0][0]
    assert 0 <= first < 2
    assert [moment for moment, _ in coming] == [pytest.approx(first + 2 * n) for n in range(10)]
    starts = [arrivals([Asked(2.0, 1, 1)], 1, 20.0, 1.0, seed)[0][0] for seed in range(20)]
    assert max(starts) - min(starts) > 1
    half = arrivals([Asked(1.0, 1, 1)], 50, 600.0, 0.5, 0)
    assert 0.35 < len(half) / (50 * 600) < 0.65


def test_more_developers_fit_where_answers_may_take_longer_or_come_faster() -> None:
    asked = [Asked(1.0, 200, 10)]
    few = most(asked, RATES, 4, 2.0, 0.5, seconds=300)
    assert 0 < few < most(asked, RATES, 4, 5.0, 0.5, seconds=300)
    fast = Rates(10_000.0, {1: 100.0, 4: 200.0})
    assert few < most(asked, fast, 4, 2.0, 0.5, seconds=300)
    assert most(asked, RATES, 4, 0.5, 0.5, seconds=300) == 0


def test_prompts_that_are_not_kept_are_read_as_a_whole() -> None:
    asked = [Asked(1.0, 1, 1, prompt=500)]
    few = arrivals(asked, 10, 60.0, 1.0, 0, kept=10)
    assert {one.read for _, one in few} == {1}
    # All ask in turn, so that whoever comes has been forgotten; the first ones were known.
    more = [one.read for _, one in arrivals(asked, 20, 60.0, 1.0, 0, kept=10)]
    assert more == [1] * 10 + [500] * (len(more) - 10)


def test_what_is_asked_ahead_keeps_others_waiting_and_counts_as_no_answer() -> None:
    first, second = Asked(0, 0, 10, 0, 1000, 5), Asked(0, 0, 10)
    alone = answer_times([(0.0, first), (5.0, second)], RATES, 4)
    assert alone == [pytest.approx(1.0), pytest.approx(1.0)]
    behind = answer_times([(0.0, first), (1.5, second)], RATES, 4)
    # The prompt ahead is read from 1 to 2 s; then both are written, the other for half as long.
    each = RATES.each(2)
    assert behind == [pytest.approx(1.0), pytest.approx(0.5 + 5 / each + (10 - 5) / 10)]
    # What gives way ends the piece of its prompt that is just read.
    first_come = answer_times([(0.0, first), (1.5, second)], RATES, 4, gives_way=True)
    assert first_come == [pytest.approx(1.0), pytest.approx(0.256 + 1.0)]


requests = st.lists(
    st.tuples(st.floats(0, 20), st.integers(0, 2000), st.integers(0, 50)), max_size=30
)


@given(requests, st.integers(1, 6))
@settings(deadline=None)
def test_every_request_is_answered_and_none_sooner_than_alone(
    told: list[tuple[float, int, int]], slots: int
) -> None:
    coming = sorted(
        ((moment, Asked(0, read, written)) for moment, read, written in told),
        key=lambda pair: pair[0],
    )
    times = answer_times(coming, RATES, slots)
    assert len(times) == len(coming)
    alone = sorted(one.read / 1000 + max(1, one.written) / 10 for _, one in coming)
    assert all(a >= b - 1e-6 for a, b in zip(sorted(times), alone, strict=True))


def test_who_was_cancelled_keeps_others_waiting_and_waits_for_nothing() -> None:
    gone, stays = Asked(0, 500, 10, seen=False), Asked(0, 500, 10)
    times = answer_times([(0.0, gone), (0.0, stays)], RATES, 4)
    assert len(times) == 1
    assert times > answer_times([(0.0, stays)], RATES, 4)


def test_many_developers_of_a_fast_replica_are_found_before_long() -> None:
    found = most([Asked(2.0, 10, 6)], Rates(10_000.0, {1: 150.0, 8: 900.0}), 8, 0.5, 0.2)
    # Less than it can write in all: 900 / 6 answers a second, of each developer one in ten; less
    # what a stretch of typing lacks of its last gap, 2 s in 62.
    assert 500 < found < 1550


def request(
    time: float, reason: str = "", prompt: int = 0, cached: int = 0, written: int = 0
) -> Request:
    told: dict[str, Any] = {"prompt_tokens": prompt, "completion_tokens": written}
    told["prompt_tokens_details"] = {"cached_tokens": cached}
    usage = {"usage": told} if prompt else {}
    event = {"time": time, "stages_ms": {"generate": 1.0}, "reason": reason, "details": usage}
    return Request("a.py", 1, event=event)


def test_what_was_computed_is_an_answer_s_own_or_ahead() -> None:
    requests = [
        request(12.0, "", 300, 0, 2),
        request(13.5, "cancelled"),
        Request("a.py", 2, event={"time": 14.0, "stages_ms": {}, "details": {}, "reason": ""}),
        request(22.0, "", 310, 309, 1),
    ]
    typed = [Typed(Sitting("a.py", 9, 9, requests), 10.0, 24.0)]
    counted = {0.0: Work(40, 7), 12.2: Work(340, 9), 13.0: Work(350, 12)}
    counted |= {13.8: Work(450, 12), 22.5: Work(451, 13), 23.7: Work(500, 13)}

    def at(moment: float) -> Work:
        return counted[max(time for time in counted if time <= moment)]

    asked, cancelled = recorded(typed, at)
    assert cancelled == 1
    assert asked == [
        Asked(2.0, 300, 2, 300, 10, 3),
        Asked(1.5, 100, 0, 300, seen=False),
        Asked(8.5, 1, 1, 310, 49, 0),
    ]
    # All that was computed is some request's.
    assert sum(one.read + one.ahead_read for one in asked) == 500 - 40
    only = [Typed(Sitting("a.py", 9, 9, [request(1.0, "cancelled")]), 0.0, 2.0)]
    with pytest.raises(UsageError, match="No request was answered"):
        recorded(only, at)


def sizing(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks.sizing", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=250, cwd=REPOSITORY)


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    file = tmp_path / "recording.json"
    asked = {"after_s": 2.0, "read": 10, "written": 6, "prompt": 300}
    asked |= {"ahead_read": 2, "ahead_written": 4}
    computed = {"read": 36, "written": 30}
    told = {"asked": [asked] * 3, "keys": 9, "cancelled": 1, "computed": computed}
    file.write_text(json.dumps(told))
    return file


def test_a_recording_is_played_before_rates_of_a_file(recording: Path, tmp_path: Path) -> None:
    rates, figures = tmp_path / "rates.json", tmp_path / "figures.json"
    rates.write_text('{"read": 5000, "written": {"1": 100, "8": 600}}')
    options = ("--recorded", recording, "--rates", rates, "--quick")
    result = sizing(*options, "--json", figures)
    assert result.returncode == 0, result.stderr
    found = json.loads(figures.read_text())
    developers = found["developers"]
    assert result.stdout.splitlines()[-1] == f"headline: developers_per_replica {developers['0.2']}"
    assert developers["0.1"] > developers["0.2"] > developers["0.5"] > 0
    kept = [Asked(**one) for one in json.loads(recording.read_text())["asked"]]
    assert [Asked(**one) for one in found["asked"]] == kept
    assert sizing("--recorded", figures, figures, "--quick", "--json", figures).returncode == 0
    twice = json.loads(figures.read_text())
    assert (len(twice["asked"]), twice["keys"]) == (6, 18)
    assert twice["computed"] == {"read": 72, "written": 60}
    # With a memory for few prompts most of them are read as a whole.
    assert sizing("--recorded", figures, "--kept", 4, "--quick", "--json", figures).returncode == 0
    assert 0 < json.loads(figures.read_text())["developers"]["0.2"] < developers["0.2"]


def test_a_replica_at_an_address_is_measured(
    recording: Path, tmp_path: Path, empty_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "tiny"
    tiny_models.make(folder, "llama tied", context=2048)
    empty_home.mkdir(exist_ok=True)
    figures = tmp_path / "figures.json"
    with replicas(empty_home, str(folder), 1, threads="1", dtype="float32") as (served,):
        measure(served.address, recording, figures, monkeypatch)


def measure(
    engine: Address, recording: Path, figures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TANDEM_TOKEN", engine.token)
    options = ("--recorded", recording, "--at", engine.url, "--model", "tiny")
    result = sizing(*options, "--quick", "--limit-ms", 5_000, "--json", figures)
    assert result.returncode == 0, result.stderr
    found = json.loads(figures.read_text())
    assert found["read"] > 0
    assert found["written"]["1"] > 0
    assert 0 <= found["kept"] <= 8
    assert found["developers"]["0.2"] > 0
    monkeypatch.setenv("TANDEM_TOKEN", "wrong")
    result = sizing(*options, "--quick")
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1
    assert "401" in result.stderr


@pytest.mark.parametrize(
    ("rates", "options", "said"),
    [
        ('{"read": 1}', (), "Cannot read rates"),
        ('{"read": 1, "written": {}}', (), "must be above zero"),
        ('{"read": 1, "written": {"1": 0}}', (), "must be above zero"),
        ('{"read": NaN, "written": {"1": 1}}', (), "must be above zero"),
        ("[]", (), "Cannot read rates"),
        ('{"read": 1, "written": {"1": 1}}', ("--typing", 0), "--typing"),
        ('{"read": 1, "written": {"1": 1}}', ("--slots", 0), "--slots"),
        ('{"read": 1, "written": {"1": 1}}', ("--recorded", "none.json"), "is no recording"),
        ('{"read": 1, "written": {"1": 1}}', ("--at", "http://127.0.0.1:9/v1"), "--model"),
    ],
)
def test_bad_input_is_one_line(
    recording: Path, tmp_path: Path, rates: str, options: tuple[object, ...], said: str
) -> None:
    file = tmp_path / "rates.json"
    file.write_text(rates)
    result = sizing("--recorded", recording, "--rates", file, *options)
    assert result.returncode
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1
