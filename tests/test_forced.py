"""Teacher-forced judgement agrees with decoding token by token."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from completion.convert import convert
from completion.engine.tokenizer import Tokenizer
from completion.sources import DEFAULT
from completion.templates import PLAIN, for_model, templates
from finetune import attention, forced
from finetune.cases import Case
from finetune.forced import Answers
from finetune.samples import Encoder
from finetune.store import SampleSet
from tests import tiny_gguf

END = 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("forced")
    convert(tiny_gguf.make(root / "t.gguf"), root, lambda *_: None)
    return root


@pytest.fixture(scope="module")
def model(folder: Path) -> Any:
    found = AutoModelForCausalLM.from_pretrained(folder, attn_implementation=attention.NAME)
    return found.eval()


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> Tokenizer:
    return Tokenizer.load(folder)


def greedy(model: Any, ids: list[int], count: int, first: list[int] | None = None) -> list[int]:
    """What the model writes after `ids`; the first token only among `first`."""
    made = list(ids)
    for number in range(count):
        row = torch.tensor([made])
        with torch.inference_mode():
            logits = model(row, lengths=[len(made)], use_cache=False).logits[0, -1]
        if first and number == 0:
            made.append(first[int(logits[first].argmax())])
        else:
            made.append(int(logits.argmax()))
    return made[len(ids) :]


def answers(
    rows: list[tuple[list[int], list[int]]], lines: list[int], allowed: dict[int, list[int]]
) -> Answers:
    """Of (prompt, answer with its end); `allowed` by row, for the answer's first token."""
    sets = list(allowed.values())
    choices = [list(allowed).index(i) if i in allowed else -1 for i in range(len(rows))]
    return Answers(
        SampleSet.of((p + a, [1.0] * len(p + a), len(p)) for p, a in rows),
        np.array(lines, np.int32),
        np.zeros(len(rows), np.int32),
        np.array(choices, np.int32),
        np.array([token for ids in sets for token in ids], np.uint32),
        np.cumsum([0, *map(len, sets)], dtype=np.int64),
    )


PROMPTS = [[20, 30, 40], [100, 7, 55, 60, 9], [300, 301], [44] * 6]


@pytest.mark.parametrize("row_tokens", [12, 500])
def test_what_greedy_decoding_writes_is_exact(model: Any, row_tokens: int) -> None:
    rows = [(p, greedy(model, p, 5)) for p in PROMPTS]
    found = forced.score(model, answers(rows, [1] * 4, {}), row_tokens)
    assert found.exact.tolist() == [True] * 4
    assert found.end.tolist() == [True] * 4
    assert found.tokens.tolist() == [5] * 4


def test_one_wrong_token_is_not_exact_and_a_wrong_end_is_told_apart(model: Any) -> None:
    rows = [(p, greedy(model, p, 5)) for p in PROMPTS]
    rows[1][1][2] = (rows[1][1][2] + 1) % 500
    rows[2][1][-1] = (rows[2][1][-1] + 1) % 500
    found = forced.score(model, answers(rows, [1] * 4, {}), 500)
    assert found.exact.tolist() == [True, False, True, True]
    assert found.end.tolist()[2] is False
    assert found.end.tolist()[0] is True


def test_a_healed_token_is_chosen_among_those_that_fit(model: Any) -> None:
    prompt = PROMPTS[1]
    free = greedy(model, prompt, 1)[0]
    fitting = [token for token in (11, 12, 13, 200) if token != free]
    rows = [(prompt, greedy(model, prompt, 4, fitting))]
    assert not forced.score(model, answers(rows, [1], {}), 500).exact[0]
    assert forced.score(model, answers(rows, [1], {0: fitting}), 500).exact[0]


def test_losses_are_those_of_the_answer(model: Any) -> None:
    prompt, answer = [20, 30, 40], [50, 60, END]
    found = forced.score(model, answers([(prompt, answer)], [1], {}), 500)
    with torch.inference_mode():
        ids = torch.tensor([prompt + answer])
        logits = model(ids, lengths=[6], use_cache=False).logits[0]
    wanted = torch.nn.functional.cross_entropy(logits[2:5], ids[0, 3:], reduction="sum")
    assert float(found.losses[0]) == pytest.approx(float(wanted), rel=1e-4)


def test_figures_are_apart_for_one_line_and_several(model: Any) -> None:
    rows = [(p, greedy(model, p, 3)) for p in PROMPTS]
    rows[3][1][0] = (rows[3][1][0] + 1) % 500
    told = forced.score(model, answers(rows, [1, 1, 2, 3], {}), 500).figures(np.array([1, 1, 2, 3]))
    assert told["single"]["n"] == told["multi"]["n"] == 2
    assert told["single"]["exact"] == 1.0
    assert told["multi"]["exact"] == 0.5


def test_answers_come_back_from_disk(tmp_path: Path) -> None:
    made = answers([([1, 2], [3, END])], [1], {0: [5, 6, 7]})
    made.save(tmp_path / "a.safetensors")
    read = Answers.load(tmp_path / "a.safetensors")
    assert len(read) == 1
    assert read.allowed.tolist() == [5, 6, 7]
    assert read.samples.ids.tolist() == made.samples.ids.tolist()


# From cases


def encoders(tokenizer: Tokenizer) -> list[Encoder]:
    found = (templates()[PLAIN], for_model(DEFAULT))
    return [Encoder(tokenizer, template, "<|endoftext|>") for template in found]


def case(prefix: str, middle: str) -> Case:
    return Case("tests", "a.py", "python", prefix, middle, "\nend()\n", "statement", "line")


def test_every_encoder_gets_the_same_cases(tokenizer: Tokenizer) -> None:
    key = "AKIA" + "IOSFODNN7EXAMPL3"
    made = [case("x = ", "1"), case(f'k = "{key}"\ny = ', "2"), case("z = ", "3\n4")]
    plain, own = forced.encode(made, encoders(tokenizer), 200)
    assert plain.lines.tolist() == own.lines.tolist() == [1, 2]
    assert len(own.samples.ids) > len(plain.samples.ids)


def test_what_the_healed_text_spells_out_is_not_judged(tokenizer: Tokenizer) -> None:
    middle = "alue + 1"
    (plain,) = forced.encode([case("total = v", middle)], encoders(tokenizer)[:1], 200)
    answer = plain.samples.ids[plain.samples.middles[0] : -1].tolist()
    text = b"".join(tokenizer.bytes_at(token) for token in answer)
    assert text.endswith(middle.encode())
    heal = text.removesuffix(middle.encode())
    given = b"".join(tokenizer.bytes_at(token) for token in answer[: plain.given[0]])
    assert heal.startswith(given)
    assert len(given) + len(tokenizer.bytes_at(answer[plain.given[0]])) > len(heal)


def test_the_straddling_token_is_among_its_choices(tokenizer: Tokenizer) -> None:
    (plain,) = forced.encode([case("return va", "lue\n")], encoders(tokenizer)[:1], 200)
    if plain.choices[0] >= 0:
        choice = plain.choices[0]
        allowed = plain.allowed[plain.bounds[choice] : plain.bounds[choice + 1]]
        first = plain.samples.ids[plain.samples.middles[0] + plain.given[0]]
        assert first in allowed
    else:
        pytest.fail("the tiny tokenizer no longer merges across this cut: take another")
