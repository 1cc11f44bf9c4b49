"""Each day's counts: every event once, whoever counts and whatever becomes of the trace."""

import json
import math
import multiprocessing
import time
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem import daily, paths, trace
from tandem.stats import report
from tandem.trace import Event

TODAY = time.strftime("%Y-%m-%d")


@pytest.fixture(autouse=True)
def home(empty_home: Path) -> Path:
    return empty_home


def request(shown: str | None = "x", **more: Any) -> Event:
    details = {"language": "python", **more.pop("details", {})}
    stages = more.pop("stages_ms", {"generate": 30.0, "total": 40.0})
    reason = "" if shown else more.pop("reason", "disabled")
    return Event(
        "completion", "lsp", shown=shown, reason=reason, stages_ms=stages, details=details, **more
    )


def outcome(of: str, outcome: str, characters: int = 0, **details: Any) -> Event:
    found = {"of": of, "language": "python", "outcome": outcome, "characters": characters}
    return Event("outcome", "lsp", details={**found, "typed": 0, "how": "", "why": "", **details})


def write(*events: Event) -> None:
    for event in events:
        trace.write(event)


def today(language: str = "python") -> daily.Sums:
    return daily.count()[TODAY][language]


def count_often(times: int) -> None:
    for _ in range(times):
        daily.count()


def test_nothing_is_counted_of_an_empty_trace() -> None:
    assert daily.count() == {}
    assert not paths.daily_file().exists()


def test_an_event_counts_once_however_often_one_counts() -> None:
    write(request(), request(None))
    for _ in range(3):
        assert today()["n"] == {"requests": 2, "asked": 2, "shown": 1}
    write(request(None, reason="engine busy"))
    assert today()["reasons"] == {"disabled": 1, "engine busy": 1}
    assert today()["n"]["requests"] == 3


def test_counts_outlive_the_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace, "MAX_BYTES", 10_000)
    for number in range(60):
        write(request("x" * 1000))
        if number % 20 == 0:
            daily.count()
    assert len(trace.read()) < 60
    assert today()["n"]["requests"] == 60
    for file in trace.files():
        file.unlink()
    assert today()["n"]["requests"] == 60


def test_processes_that_count_and_write_at_once_lose_and_double_nothing() -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=count_often, args=(20,)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for _ in range(300):
        write(request())
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert today()["n"]["requests"] == 300


def test_a_line_that_is_being_written_counts_when_it_is_whole() -> None:
    write(request())
    line = paths.trace_file().read_bytes()
    with paths.trace_file().open("ab") as stream:
        stream.write(line[:50])
        stream.flush()
        assert today()["n"]["requests"] == 1
        stream.write(line[50:])
    assert today()["n"]["requests"] == 2


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"v": 9}', '{"v": 1, "read": 3}', "[" * 9999]
)
def test_damaged_counts_are_put_aside_and_made_again(text: str) -> None:
    paths.private_dir(paths.state_dir())
    paths.daily_file().write_text(text)
    write(request())
    assert today()["n"]["requests"] == 1
    assert paths.daily_file().with_suffix(".old").read_text() == text


@pytest.mark.parametrize(
    "details",
    [
        {},
        {"outcome": "accepted"},
        {"outcome": "accepted", "characters": "x", "typed": 0},
        {"also": 3},
    ],
)
def test_an_event_of_another_shape_is_passed_over(details: dict[str, Any]) -> None:
    write(Event("outcome", "lsp", details=details), request())
    assert today()["n"] == {"requests": 1, "asked": 1, "shown": 1}
    assert "outcomes" not in today()


def test_only_the_user_may_read_them_and_they_hold_no_text() -> None:
    write(request("secret_name = 1", file="/work/private.py"), outcome("a", "accepted", 3))
    daily.count()
    assert oct(paths.daily_file().stat().st_mode)[-3:] == "600"
    text = paths.daily_file().read_text()
    assert "secret_name" not in text
    assert "private" not in text


def test_old_days_are_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daily, "KEPT_DAYS", 3)
    now = time.time()
    write(*(request(time=now - 86_400 * back) for back in range(6, -1, -1)))
    days = daily.count()
    assert len(days) == 3
    assert max(days) == TODAY


# Times


@given(st.lists(st.floats(0.02, 60_000), min_size=1), st.sampled_from([0.5, 0.9, 0.99]))
def test_a_percentile_is_within_a_step_of_the_true_one(times: list[float], share: float) -> None:
    buckets: dict[str, int] = {}
    for ms in times:
        bucket = str(round(math.log(ms, daily.STEP)))
        buckets[bucket] = buckets.get(bucket, 0) + 1
    true = sorted(times)[math.ceil(share * len(times)) - 1]
    assert daily.percentile(buckets, share) == pytest.approx(true, rel=0.026)


def test_there_is_no_percentile_of_nothing() -> None:
    assert math.isnan(daily.percentile({}, 0.5))


# The report


def told(days: int = 1, last: date | None = None) -> Any:
    return report(daily.count(), last or date.today(), days)


def test_a_suggestion_that_goes_on_counts_once_and_a_late_one_not_at_all() -> None:
    events = [request() for _ in range(5)]
    write(*events)
    write(outcome(events[0].id, "accepted", 7, how="whole", also=[events[1].id, events[2].id]))
    write(outcome(events[3].id, "ignored", why="late"))
    part = told().all
    assert (part.shown, part.suggestions, part.late, part.concluded) == (5, 2, 1, 1)
    assert (part.acceptance, part.concluded_share, part.shown_share) == (1.0, 0.5, 1.0)
    assert part.how == {"whole": 1, "line": 0, "word": 0}


def test_kept_characters_stand_beside_those_that_could_be_judged() -> None:
    write(request(), request())
    write(outcome("a", "accepted", 10, how="whole"), outcome("b", "accepted", 30, how="word"))
    write(outcome("a", "kept", 10, kept_30s=8), outcome("b", "kept", 30, kept_30s=30))
    write(outcome("a", "kept", 10, kept_5min=4))
    part = told().all
    assert part.accepted_characters == 40
    assert (part.kept_30s.share, part.kept_30s.coverage) == (38 / 40, 1.0)
    assert (part.kept_5min.share, part.kept_5min.coverage) == (0.4, 0.25)


def test_what_is_answered_or_dropped_without_the_model_is_told_apart() -> None:
    write(request(), request(None, stages_ms={"total": 0.1}))
    write(request(stages_ms={"cache": 0.2, "total": 0.3}, details={"cache": "typed on"}))
    write(request(stages_ms={"total": 0.3}, details={"cache": {"kind": "prefetched", "age": 3}}))
    found = told()
    assert found.all.without_model == 0.75
    assert found.cache == {"prefetched": 1, "typed on": 1}


def test_silence_does_not_make_answers_look_fast() -> None:
    write(*(request(None, stages_ms={"total": 0.1}) for _ in range(99)))
    write(request(stages_ms={"total": 50.0}))
    times = {one.stage: one for one in told().times}
    assert times["total, shown"].p50 == pytest.approx(50, rel=0.03)
    assert times["total, nothing shown"].count == 99


def test_languages_and_days_add_up_to_all() -> None:
    now = time.time()
    for back, language, count in ((0, "python", 3), (0, "go", 1), (1, "go", 2), (9, "go", 5)):
        for _ in range(count):
            write(request(time=now - back * 86_400, details={"language": language}))
    found = told(days=7)
    assert found.all.requests == 6
    assert [(part.name, part.requests) for part in found.languages] == [("go", 3), ("python", 3)]
    assert [part.requests for part in found.days] == [2, 4]
    assert found.first < found.last == TODAY


def test_requests_from_elsewhere_are_named_and_not_counted() -> None:
    write(request(), Event("completion", "benchmark", shown="x"), Event("engine", "lsp"))
    found = told()
    assert (found.all.requests, found.elsewhere) == (1, {"benchmark": 1})


def test_rates_of_nothing_are_none_and_json_has_them() -> None:
    write(request(None))
    text = json.dumps(told().to_json(), allow_nan=False)
    found = json.loads(text)
    assert found["v"] == 1
    assert found["all"]["acceptance"] is None
    assert found["all"]["shown_share"] == 0.0


outcomes = st.sampled_from(["accepted", "typed", "rejected", "ignored", "kept"])


@given(
    st.lists(st.tuples(st.booleans(), outcomes, st.integers(0, 50), st.integers(0, 3)), max_size=30)
)
def test_no_rate_leaves_its_range_whatever_was_written(
    rows: list[tuple[bool, str, int, int]],
) -> None:
    """Outcomes of requests that were rotated away, or fall on another day, among them."""
    days: daily.Days = {}
    for shown, kind, characters, also in rows:
        details = {"kept_30s": characters // 2} if kind == "kept" else {"also": ["x"] * also}
        for event in (request("x" if shown else None), outcome("a", kind, characters, **details)):
            daily._count_event(event.to_json(), days)
    part = report(days, date.today(), 1).all
    rates = [part.without_model, part.shown_share, part.concluded_share, part.acceptance]
    rates += [part.kept_30s.share, part.kept_30s.coverage]
    assert all(rate is None or 0 <= rate <= 1 for rate in rates)
    assert part.suggestions >= 0
