"""`tandem trace` with candidates, rules and outcomes: as a table, in full, and as a page."""

import json
from pathlib import Path
from typing import Any

import pytest

from tandem import trace
from tandem.trace import Event
from tests.browser import BROWSER, Page, read_page, shown_by_browser
from tests.test_cli import error_line, tandem
from tests.test_daily import outcome, write

HOSTILE = "</script><img src=x onerror=document.title='owned'><b>&amp;\"' \u202e\x00\ud800"
CONTEXT = {
    "file": "lib/load.py",
    "symbol": "load",
    "source": "definitions",
    "reason": "is called here",
    "tokens": 41,
}


@pytest.fixture(autouse=True)
def home(empty_home: Path) -> Path:
    return empty_home


def event(shown: str | None = "load(path)", **details: Any) -> Event:
    return Event(
        "completion",
        "lsp",
        file="/work/main.py",
        line=3,
        column=8,
        model="tandem-135m",
        shown=shown,
        reason="" if shown else "below the bar",
        stages_ms={"context": 2.0, "first_token": 20.0, "generate": 30.0, "total": 33.0},
        details={"language": "python", **details},
    )


def chosen() -> Event:
    return event(
        context=[CONTEXT],
        candidates=[
            {"text": "load(path)", "scores": {"logprob": -0.25, "suffix": 1.5}, "rules": []},
            {"text": "loads(path)", "scores": {"logprob": -0.75}, "rules": ["unknown name"]},
        ],
        rules=["suffix overlap", "brackets"],
    )


def accepted() -> Event:
    made = chosen()
    write(made, outcome(made.id, "accepted", 10, how="whole"))
    write(outcome(made.id, "kept", 10, kept_30s=7))
    return made


def test_the_table_names_candidates_rules_and_outcome() -> None:
    accepted()
    text = " ".join(tandem("trace", COLUMNS="160").stdout.split())
    assert "load(path)" in text
    assert "2 candidates" in text
    assert "rules: suffix overlap, brackets" in text
    assert "accepted (whole, 10 characters); 7 of 10 characters kept after 30s" in text


def test_outcomes_are_no_requests() -> None:
    for _ in range(3):
        accepted()
    lines = tandem("trace", "--last", 2, "--json").stdout.splitlines()
    kinds = [json.loads(line)["kind"] for line in lines]
    assert kinds == ["completion", "outcome", "outcome"] * 2


def test_one_request_is_shown_in_full() -> None:
    made = accepted()
    write(event(None))
    result = tandem("trace", made.id, COLUMNS="160")
    assert result.returncode == 0, result.stderr
    for text in ("/work/main.py:3:8", "lib/load.py load: is called here (41 tokens)"):
        assert text in result.stdout
    for text in ("candidate 2", "loads(path)", "logprob -0.75", "unknown name", "suffix overlap"):
        assert text in result.stdout
    assert "generate" in result.stdout
    assert "below the bar" not in result.stdout
    assert tandem("trace", made.id[:8], COLUMNS="160").stdout == result.stdout


def test_a_silent_request_in_full_says_why() -> None:
    made = event(None, answer="lo")
    write(made)
    text = tandem("trace", made.id).stdout
    assert "nothing shown\nbelow the bar" in text
    assert "answer: lo" in text


def test_an_id_of_no_request_or_of_many_is_wrong_usage() -> None:
    write(event(), event())
    result = tandem("trace", "zzz")
    assert result.returncode == 2
    assert "The trace has no request zzz" in error_line(result)
    result = tandem("trace", "")
    assert result.returncode == 2
    assert "2 requests have an id" in error_line(result)


def test_a_suggestion_that_went_on_with_another_shares_its_outcome() -> None:
    first, second = event(), event("oad(path)")
    write(first, second, outcome(first.id, "typed", also=[second.id]))
    assert f"typed as part of {first.id}" in tandem("trace", second.id, COLUMNS="160").stdout


def test_a_page_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    write(event())
    result = tandem("trace", "--html", tmp_path)
    assert result.returncode == 1
    assert "is a folder" in error_line(result)


# The page


def made_page(folder: Path) -> Path:
    file = folder / "trace.html"
    result = tandem("trace", "--html", file)
    assert (result.returncode, result.stderr) == (0, "")
    return file


def hostile() -> Event:
    """Foreign text in every place that has any."""
    made = event(
        HOSTILE,
        context=[dict.fromkeys(CONTEXT, HOSTILE)],
        context_left_out={HOSTILE: HOSTILE},
        candidates=[{"text": HOSTILE, "scores": {HOSTILE: HOSTILE}, "rules": [HOSTILE]}, HOSTILE],
        rules=[HOSTILE],
        cache=HOSTILE,
    )
    made.file = made.model = f"/work/{HOSTILE}"
    made.stages_ms[HOSTILE] = 3.0
    made.source = made.kind = HOSTILE
    return made


def test_the_page_has_every_request_with_all_its_parts(tmp_path: Path) -> None:
    accepted()
    write(event(None))
    found = read_page(made_page(tmp_path))
    assert found.closed
    assert found.addresses == []
    assert len(rows(found)) == 2
    for text in ("lib/load.py load: is called here (41 tokens)", "Candidate 2", "logprob -0.75"):
        assert text in found.text
    assert "accepted (whole, 10 characters)" in found.text
    assert "below the bar" in found.text


def test_the_page_of_no_requests_is_whole(tmp_path: Path) -> None:
    found = read_page(made_page(tmp_path))
    assert found.closed
    assert rows(found) == []


def test_only_this_user_may_read_the_page(tmp_path: Path) -> None:
    """It has the text of files in it."""
    assert oct(made_page(tmp_path).stat().st_mode)[-3:] == "600"


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    made = hostile()
    write(made, outcome(made.id, "ignored", why=HOSTILE, how=HOSTILE))
    file = made_page(tmp_path)
    found = read_page(file)
    assert found.closed
    assert [found.count(name) for name in ("script", "img")] == [1, 0]
    assert found.handlers == []
    assert "\u202e" not in file.read_text()
    assert "\0" not in file.read_text()
    assert found.text.count("onerror=document.title='owned'") > 10
    assert tandem("trace", made.id).returncode == 0
    assert tandem("trace").returncode == 0
    first = tandem("trace", "--json").stdout.splitlines()[0]
    assert json.loads(first)["shown"] == HOSTILE


@pytest.mark.skipif(BROWSER is None, reason="no browser is installed")
def test_a_browser_runs_our_script_and_no_other(tmp_path: Path) -> None:
    accepted()
    write(hostile(), event(None))
    file = made_page(tmp_path)
    found = shown_by_browser(file, "", tmp_path / "profile")
    assert found.count("img") == 0
    assert "Tandem: requests" in found.text
    assert "3 of 3" in found.text
    assert [hidden(row) for row in rows(found)] == [False, False, False]


@pytest.mark.skipif(BROWSER is None, reason="no browser is installed")
def test_the_search_hides_what_does_not_hold_all_the_words(tmp_path: Path) -> None:
    accepted()
    write(event(None))
    found = shown_by_browser(made_page(tmp_path), "BELOW%20bar", tmp_path / "profile")
    assert "1 of 2" in found.text
    # The newest is the first.
    assert [hidden(row) for row in rows(found)] == [False, True]


@pytest.mark.skipif(BROWSER is None, reason="no browser is installed")
def test_the_pages_policy_stops_a_script_that_slipped_in(tmp_path: Path) -> None:
    """As if something had not been escaped."""
    accepted()
    file = made_page(tmp_path)
    text = file.read_text()
    slipped = "<script>document.title='owned'</script><img src=x onerror=document.title='owned'>"
    file.write_text(text.replace("</form>", f"</form>{slipped}"))
    found = shown_by_browser(file, "", tmp_path / "profile")
    assert found.count("img") == 1
    assert "1 of 1" in found.text
    assert found.titles == ["Tandem: requests"]


def rows(found: Page) -> list[dict[str, str]]:
    return [a for a in found.all("details") if a.get("class") == "r"]


def hidden(row: dict[str, str]) -> bool:
    return "hidden" in row


def test_events_of_other_kinds_are_shown_too(tmp_path: Path) -> None:
    write(Event("engine", "lsp", reason="The engine did not start."))
    assert "The engine did not start." in read_page(made_page(tmp_path)).text
    assert len(trace.read()) == 1
