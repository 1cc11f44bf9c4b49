"""`tandem stats` as a person runs it, and its page."""

import json
import time
from datetime import date
from pathlib import Path

import pytest

from tandem import daily, paths, trace
from tandem.stats import report
from tandem.stats_page import page
from tests.browser import Page, read_page
from tests.test_cli import error_line, tandem
from tests.test_daily import outcome, request, write

HOSTILE = "</script><img src=x onerror=document.title='owned'>&\"'\u202e\x00"


@pytest.fixture(autouse=True)
def home(empty_home: Path) -> Path:
    return empty_home


def some_days() -> None:
    now = time.time()
    for back in range(3):
        shown = request(time=now - back * 86_400, details={"cache": "typed on"} if back else {})
        write(shown, request(None, reason="cancelled", time=now - back * 86_400))
        write(
            outcome(shown.id, "accepted", 20, how="whole"),
            outcome(shown.id, "kept", 20, kept_30s=15),
        )


def test_nothing_to_count_is_said_and_no_error() -> None:
    result = tandem("stats")
    assert (result.returncode, result.stderr) == (0, "")
    assert "Nothing to count yet" in result.stdout


def test_a_table_shows_rates_beside_what_they_cover() -> None:
    some_days()
    result = tandem("stats", COLUMNS="120")
    assert result.returncode == 0, result.stderr
    text = " ".join(result.stdout.split())
    assert "requests 6" in text
    assert "shown 3 answers, 50% of requests" in text
    assert "acceptance 100% of 3 with an outcome" in text
    assert "75% of 60 judged (100% of accepted)" in text
    assert "cancelled 3" in text
    assert "typed on 2" in text


def test_json_is_one_object_of_the_days_that_are_asked_for() -> None:
    some_days()
    whole = json.loads(tandem("stats", "--json").stdout)
    assert (whole["v"], whole["all"]["requests"], len(whole["days"])) == (1, 6, 3)
    one = json.loads(tandem("stats", "--days", 1, "--json").stdout)
    assert one["all"]["requests"] == 2


def test_history_survives_the_trace() -> None:
    some_days()
    before = tandem("stats", "--json").stdout
    for file in trace.files():
        file.unlink(missing_ok=True)
    assert tandem("stats", "--json").stdout == before


@pytest.mark.parametrize("days", ["0", "-1", "401", "many"])
def test_days_out_of_range_are_wrong_usage(days: str) -> None:
    result = tandem("stats", "--days", days)
    assert result.returncode == 2
    assert "tandem --help" in error_line(result)


def test_a_page_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    some_days()
    result = tandem("stats", "--html", tmp_path)
    assert result.returncode == 1
    assert "is a folder" in error_line(result)
    (tmp_path / "file").write_text("")
    result = tandem("stats", "--html", tmp_path / "file" / "page.html")
    assert result.returncode == 1
    assert "Cannot write" in error_line(result)


def test_counts_that_cannot_be_kept_are_one_line() -> None:
    some_days()
    paths.daily_file().mkdir()
    result = tandem("stats")
    assert result.returncode == 1
    assert "The counts cannot be kept" in error_line(result)


def test_the_page_stands_alone_and_has_the_figures(tmp_path: Path) -> None:
    some_days()
    file = tmp_path / "stats.html"
    assert tandem("stats", "--html", file).returncode == 0
    found = read_page(file)
    assert found.closed
    assert found.addresses == []
    assert found.count("svg") >= 4
    assert found.count("script") == 0
    assert "75% of 60 judged" in found.text


def test_an_empty_page_says_so() -> None:
    assert "No requests" in page(report({}, date.today(), 7))


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    write(request(None, reason=HOSTILE, details={"language": HOSTILE}))
    write(request(details={"language": HOSTILE, "cache": HOSTILE}, stages_ms={HOSTILE: 3.0}))
    write(outcome("a", "ignored", why=HOSTILE, language=HOSTILE))
    file = tmp_path / "stats.html"
    assert tandem("stats", "--html", file).returncode == 0
    found = read_page(file)
    assert found.count("img") == 0
    assert found.handlers == []
    assert "</script><img src=x" in found.text
    assert tandem("stats").returncode == 0


def test_every_plot_is_drawn_inside_its_frame(tmp_path: Path) -> None:
    some_days()
    text = page(report(daily.count(), date.today(), 7))
    file = tmp_path / "page.html"
    file.write_text(text)
    found: Page = read_page(file)
    for attributes in found.all("rect"):
        x, y = float(attributes["x"]), float(attributes["y"])
        width, height = float(attributes["width"]), float(attributes["height"])
        assert min(x, y, width, height) >= 0
        assert x + width <= 900
