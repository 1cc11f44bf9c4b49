"""Variants answer the same holes; what is reported is what they answered."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console
from transformers import PreTrainedModel

from completion.engine.generate import Decoder
from completion.engine.scoring import losses
from completion.models import InstalledModel
from completion.templates import Snippet
from finetune import cases, variant
from finetune.cases import Case
from finetune.evaluate import Report, Scored, answer_all, report, run, score
from finetune.held_out import general_cases
from finetune.variant import Answer, Variant
from tests import tiny_models

Tiny = tuple[Decoder, PreTrainedModel]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tiny")


@pytest.fixture(scope="module")
def tiny(folder: Path) -> Tiny:
    reference = tiny_models.make(folder, "llama tied")
    return variant.load(folder, dtype="float32", threads=1), reference


def case(middle: str = "total + 1", cut: str = "expression", path: str = "a.py") -> Case:
    prefix, suffix = "def add(total):\n    result = ", "\n    return result\n"
    return Case("repo", path, "python", prefix, middle, suffix, cut, "statement")


def variants(decoder: Decoder) -> list[Variant]:
    left = Variant("left", decoder, "plain", prompt_tokens=48)
    return [left, Variant("both", decoder, "tandem", prompt_tokens=48)]


def answer(shown: str, raw: str = "", ended: bool = False, loss: float = 1.0) -> Answer:
    return Answer(raw or shown, ended, shown, "", loss, 2.0, 3)


# The engine's losses


def test_losses_are_those_of_the_reference(tiny: Tiny) -> None:
    decoder, reference = tiny
    prompt, truth = [5, 77, 301, 12, 9], [40, 41, 300]
    with torch.no_grad():
        logits = reference(torch.tensor([prompt + truth])).logits[0, len(prompt) - 1 : -1]
    expected = torch.nn.functional.cross_entropy(logits, torch.tensor(truth), reduction="none")
    assert losses(decoder, prompt, truth) == pytest.approx(expected.tolist(), abs=2e-4)


def test_losses_do_not_depend_on_what_was_asked_before(tiny: Tiny) -> None:
    decoder, _ = tiny
    prompt = list(range(20, 60))
    decoder.forget()
    fresh = losses(decoder, prompt, [7, 8, 9])
    assert losses(decoder, prompt, [10, 11]) != fresh[:2]
    assert losses(decoder, prompt, [7, 8, 9]) == pytest.approx(fresh, abs=1e-4)


# Prompts


def test_each_variant_sees_what_it_is_allowed_to(tiny: Tiny) -> None:
    decoder, _ = tiny
    whole = Variant("whole", decoder, "tandem", prompt_tokens=110)
    shown = replace(case(), snippets=(Snippet("b.py", "HELP"),))

    def prompt(one: Variant) -> str:
        built = one.prompt(shown)
        assert built is not None
        return built.text

    assert "return result" in prompt(whole)
    assert "return result" not in prompt(replace(whole, suffix=False))
    assert "HELP" in prompt(whole)
    assert "HELP" not in prompt(replace(whole, snippets=False))
    assert "a.py" not in prompt(replace(whole, path=False))
    assert prompt(replace(whole, template="plain")) in shown.prefix


def test_a_hole_beside_a_secret_is_not_asked_for(tiny: Tiny) -> None:
    decoder, _ = tiny
    key = 'key = "' + "AKIA" + "Z7QX" * 4 + '"\n'
    secret = replace(case(), prefix=key + case().prefix)
    assert answer_all(secret, variants(decoder)) is None


def test_a_hole_with_nothing_before_it_is_not_asked_for(tiny: Tiny) -> None:
    decoder, _ = tiny
    assert variants(decoder)[0].prompt(replace(case(), prefix="")) is None


# A real run


def test_a_run_measures_every_variant_on_the_same_holes(tiny: Tiny) -> None:
    decoder, _ = tiny
    progress: list[tuple[int, int]] = []
    found = general_cases(12, seed=2)
    result = run(found, variants(decoder), lambda done, total: progress.append((done, total)))
    assert result.complete
    assert result.holes + result.skipped == 12
    assert result.holes > 6
    assert progress[0] == (0, 12)
    assert progress[-1] == (12, 12)
    for name in result.variants:
        whole = result.rate(name, "all", "exact")
        assert whole.n == result.holes
        assert 0 <= result.rate(name, "all", "shown").mean <= 1
        assert result.rate(name, "all", "loss").mean > 1
    cuts = [group for group in result.groups if group in cases.SHARES]
    assert sum(result.rate("left", cut, "exact").n for cut in cuts) == result.holes


def test_a_model_differs_from_itself_by_exactly_nothing(tiny: Tiny) -> None:
    decoder, _ = tiny
    one = variants(decoder)[0]
    # The second one's answers are guessed whole by the first one's.
    result = run(general_cases(12, seed=3), [one, replace(one, name="again")])
    assert result.holes > 6
    for metric in ("exact", "similarity", "saved", "shown", "clean"):
        found = result.difference("again", "left", "all", metric)
        assert (found.mean, found.low, found.high) == (0, 0, 0)


def test_an_answer_that_anybody_can_tell_is_an_exact_match(default_model: InstalledModel) -> None:
    """The real model, left to right: it can copy, and does not know where a middle ends."""
    decoder = variant.load(default_model.folder, threads=1)
    line = "    registry.register(handler_for_events, priority=10)\n"
    prefix = "def set_up(registry):\n" + line * 6 + line[:-20]
    truth = line[-20:-1]
    copied = Case("repo", "a.py", "python", prefix, truth, "\n" + line * 2, "line", "statement")
    result = run([copied], [Variant("left", decoder, "plain")])
    assert result.rate("left", "single-line", "exact").mean == 1
    assert result.rate("left", "all", "similarity").mean == 1
    assert result.rate("left", "all", "clean").mean == 0
    assert result.rate("left", "all", "loss").mean < 0.2
    assert result.rate("left", "all", "saved").mean == decoder.tokenizer.count(truth)


def test_an_interrupt_reports_what_was_measured(tiny: Tiny) -> None:
    decoder, _ = tiny

    def stop(done: int, total: int) -> None:
        if done == 5:
            raise KeyboardInterrupt

    result = run(general_cases(12, seed=2), variants(decoder), stop)
    assert not result.complete
    assert result.holes + result.skipped == 5
    printed = Console(width=200, record=True)
    printed.print(result.tables()[0])
    assert "interrupted" in printed.export_text()


# Scores and reports


def test_scores_of_a_right_and_of_no_answer(tiny: Tiny) -> None:
    one = variants(tiny[0])[0]
    right = score(case(), answer("total + 1", ended=True), one)
    assert (right["exact"], right["clean"], right["exact_of_shown"]) == (1, 1, 1)
    silent = score(case(), answer("", ended=True), one)
    assert (silent["exact"], silent["clean"], silent["shown"]) == (0, 0, 0)
    assert silent["similarity"] == 0


def test_silence_is_left_out_of_the_share_of_shown_that_is_right(tiny: Tiny) -> None:
    one = variants(tiny[0])[0]
    scored = [
        Scored(case(path=f"{n}.py"), {"left": score(case(), answer(text), one)}, 3)
        for n, text in enumerate(("total + 1", "", "", "wrong"))
    ]
    result = report(scored, ["left"])
    assert result.rate("left", "all", "exact").mean == 0.25
    assert result.rate("left", "all", "exact_of_shown").mean == 0.5
    assert result.rate("left", "all", "exact_of_shown").n == 2
    assert result.rate("left", "all", "shown").mean == 0.5


def sample_report() -> Report:
    def scores(right: bool, loss: float) -> dict[str, float]:
        values = dict.fromkeys(("similarity", "first_line", "saved", "clean", "shown"), 1.0)
        return {**values, "exact": float(right), "loss": loss, "end_loss": 0.1}

    scored = []
    for n in range(40):
        middle, cut = ("a\nb", "block") if n % 4 == 0 else ("a", "line")
        pair = {"base": scores(n % 5 == 0, 2.0), "tuned": scores(n % 2 == 0, 1.0)}
        scored.append(Scored(case(middle, cut, f"{n}.py"), pair, 1 + n % 3))
    return report(scored, ["base", "tuned"], skipped=3)


def test_a_report_groups_by_length_and_by_cut() -> None:
    result = sample_report()
    assert result.groups == ["all", "single-line", "multi-line", "block", "line"]
    assert result.rate("base", "all", "exact").mean == pytest.approx(0.2)
    assert result.rate("tuned", "all", "exact").mean == pytest.approx(0.5)
    assert result.rate("tuned", "multi-line", "exact").n == 10
    gain = result.difference("tuned", "base", "all", "exact")
    assert gain.mean == pytest.approx(0.3)
    assert gain.above(0)
    assert result.difference("tuned", "base", "all", "loss").mean == pytest.approx(-1)
    with pytest.raises(KeyError):
        result.rate("other", "all", "exact")


def test_a_report_is_the_same_after_a_trip_through_json(tmp_path: Path) -> None:
    result = sample_report()
    result.save(tmp_path / "report.json")
    data = json.loads((tmp_path / "report.json").read_text())
    assert Report.from_json(data) == result
    with pytest.raises(KeyError):
        Report.from_json({**data, "v": 99})


def test_a_report_prints_rates_and_differences() -> None:
    console = Console(width=220, record=True)
    for table in sample_report().tables():
        console.print(table)
    text = console.export_text()
    assert "40 holes" in text
    assert "3 holes not asked" in text
    assert "difference from: base" in text
    assert "50.0" in text
    assert "30.0" in text


# As a command


def test_the_command_compares_two_folders(folder: Path, tiny: Tiny, tmp_path: Path) -> None:
    found = [one for one in general_cases(8, seed=2) if len(one.middle) < 60]
    cases.save(found, tmp_path / "cases.jsonl")
    tuned = shutil.copytree(folder, tmp_path / "tuned")
    command = [sys.executable, "-m", "finetune.evaluate", "--threads", "1", "--n", "4"]
    command += ["--cases", str(tmp_path / "cases.jsonl"), "--json", str(tmp_path / "out.json")]
    command += ["--base", str(folder), "--tuned", str(tuned), "--prompt-tokens", "48"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert "4 of 4 holes" in done.stderr
    result = Report.from_json(json.loads((tmp_path / "out.json").read_text()))
    assert result.variants[:3] == ("base, left to right", "base, suffix first", "tuned")
    same = result.difference("tuned", "base, suffix first", "all", "exact")
    assert (same.mean, same.n) == (0, result.holes)
    assert f"{result.holes} holes" in done.stdout
