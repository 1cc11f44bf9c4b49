"""`tandem gate`: learning from one's own log, and what is told of it."""

import json
import math
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from completion import display, display_log
from completion.display import Figures
from completion.display_log import refusals, rows_of
from tandem import cli, trace
from tandem.trace import Event

HOUR = 3600.0


def write_log(
    file: Path | None, count: int, seed: int = 1, slope: float = 3.0, hours: int = 20
) -> None:
    """Suggestions whose acceptance hangs on the model's own certainty, over hours of work."""
    rng = random.Random(seed)
    for number in range(count):
        line = rng.uniform(-6, 0)
        chance = 1 / (1 + math.exp(-slope * (line + 2.5)))
        at = (number * hours // count) * HOUR + number
        known = {"logprob_line": line, "characters": rng.uniform(1, 4)}
        shown = Event("completion", shown="text", details={"features": known}, time=at)
        outcome = "accepted" if rng.random() < chance else rng.choice(["rejected", "ignored"])
        details = {
            "of": shown.id,
            "outcome": outcome,
            "characters": 12 if outcome == "accepted" else 0,
        }
        for event in (shown, Event("outcome", details=details, time=at + 2)):
            trace.write(event, file)


def event(
    kind: str, id: str = "a", at: Any = 1.0, shown: Any = "x", **details: Any
) -> dict[str, Any]:
    return {"kind": kind, "id": id, "time": at, "shown": shown, "details": details}


def test_a_log_that_says_enough_gives_a_gate_that_is_used(
    empty_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_log(None, 1500)
    assert cli.run(["gate", "train"]) == 0
    told = capsys.readouterr().out
    assert "In use from now on" in told
    assert "of your own log" in told
    gate = display.current()
    assert gate.trained["how"] == "log"
    assert gate.figures.low > 0
    assert gate != display.shipped()
    assert cli.run(["gate", "show"]) == 0
    assert "of what you would have accepted" in capsys.readouterr().out
    assert cli.run(["gate", "reset"]) == 0
    assert display.current() == display.shipped()
    assert cli.run(["gate", "reset"]) == 0
    assert "Nothing was learned" in capsys.readouterr().out


def test_a_log_in_which_acceptance_is_chance_gives_none_and_says_why(
    empty_home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "log.jsonl"
    write_log(file, 1500, slope=0.0)
    assert cli.run(["gate", "train", "--from", str(file), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["in_use"] is False
    assert told["why_not"]
    assert not display.own_file().exists()


@pytest.mark.parametrize("count", [0, 50])
def test_a_short_log_is_one_line_of_error(
    empty_home: Path, count: int, capsys: pytest.CaptureFixture[str]
) -> None:
    write_log(None, count)
    assert cli.run(["gate", "train"]) == 1
    told = capsys.readouterr().err
    assert f"The log has {count} suggestions" in told
    assert told.count("\n") == 1


def test_a_log_in_which_the_newest_were_never_accepted_is_not_enough(
    empty_home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "log.jsonl"
    write_log(file, 400, hours=10)
    events = trace.read(file=file)
    for one in events:
        if one["time"] > 7 * HOUR and one["kind"] == "outcome":
            one["details"]["outcome"] = "ignored"
    file.write_text("".join(f"{json.dumps(one)}\n" for one in events))
    assert cli.run(["gate", "train", "--from", str(file)]) == 1
    assert "too few to judge by" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["missing.jsonl", "."])
def test_a_log_that_is_no_file_is_wrong_usage(
    empty_home: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["gate", "train", "--from", str(tmp_path / name)]) == 2
    assert "is no file" in capsys.readouterr().err


def test_a_log_of_noise_is_an_empty_log(
    empty_home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "noise"
    file.write_bytes(random.Random(1).randbytes(5000))
    assert cli.run(["gate", "train", "--from", str(file)]) == 1
    assert "has 0 suggestions" in capsys.readouterr().err


def test_the_shipped_gate_is_shown_with_its_cost(
    empty_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["gate", "show"]) == 0
    told = capsys.readouterr().out
    shipped = display.shipped()
    assert f"It hides {shipped.figures.lost:.1%} of what you would have accepted" in told
    assert all(name in told for name in shipped.weights)
    assert cli.run(["gate", "show", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["threshold"] == shipped.threshold
    assert found["weights"] == shipped.weights


def test_the_bars_for_use() -> None:
    good = Figures(100, 30, 20, 0.3, 0.01, 0.5, 0.12)
    assert refusals(good) == []
    assert "not above zero" in refusals(Figures(100, 30, 20, 0.3, 0.0, 0.5, 0.1))[0]
    assert "at most 12%" in refusals(Figures(100, 30, 20, 0.3, 0.1, 0.5, 0.13))[0]
    assert len(refusals(Figures(100, 30, 20, -0.3, -0.4, 0.0, 0.5))) == 2


def test_rows_are_what_was_shown_and_what_became_of_it() -> None:
    features = {"a": 1, "b": True}
    rows = rows_of(
        [
            event("completion", "late", 9 * HOUR, features=features),
            event("completion", "1", 2 * HOUR, features=features),
            event("completion", "2", HOUR, features=features),
            event("completion", "3", features=features),  # of which we heard no more
            event("completion", "4", shown=None, features=features),
            event("completion", "5"),  # from before features were written
            event("outcome", of="1", outcome="accepted", characters=7),
            event("outcome", of="2", outcome="ignored", characters=3),
            event("outcome", of="4", outcome="accepted", characters=7),
            event("outcome", of="5", outcome="accepted", characters=7),
            event("outcome", of="late", outcome="ignored", why="late"),  # nobody saw it
            event("outcome", of="1", outcome="kept_30s", characters=2),
            event("outcome", of="unknown", outcome="accepted", characters=7),
            event("engine"),
        ]
    )
    assert [(row.characters, row.group) for row in rows] == [(0, 1), (7, 2)]
    assert rows[0].features == {"a": 1.0, "b": 1.0}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)


@given(
    st.dictionaries(st.sampled_from(["features", "of", "outcome", "characters", "why"]), JSON), JSON
)
def test_no_log_raises(details: dict[str, Any], value: Any) -> None:
    known = {"features": {"a": 1.0}}
    rows = rows_of(
        [
            event("completion", "a", value, value, **details),
            event("completion", "b", value, "x", **known),
            event("outcome", "c", value, value, **details),
            event("outcome", of="b", outcome="accepted", characters=value),
            {"kind": value, "details": value},
        ]
    )
    assert [row for row in rows if row.features == {"a": 1.0}]
    assert all(math.isfinite(x) for row in rows for x in row.features.values())


def test_the_newest_quarter_is_kept_back_in_whole_hours() -> None:
    found = [
        one
        for number in range(400)
        for one in (
            event("completion", str(number), number * 36.0, features={"a": 1.0}),
            event("outcome", of=str(number), outcome="ignored"),
        )
    ]
    older, newer = display_log._split(rows_of(found))
    assert len(newer) == 100
    assert {row.group for row in older} == {0, 1, 2}
    assert {row.group for row in newer} == {3}
