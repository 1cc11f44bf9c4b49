"""The chat check tells a model that chats as before from one that does not."""

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from completion.engine.generate import Decoder
from completion.models import InstalledModel
from finetune import chat, chat_check, replay, variant
from finetune.chat_check import Faults, Reply, Result
from tandem.errors import EngineError
from tests import tiny_models

TEMPLATE = "{% for m in messages %}<|im_start|>{{ m.content }}<|im_end|>{% endfor %}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    tiny_models.make(folder, "llama tied")
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    return folder


@pytest.fixture(scope="module")
def base(folder: Path) -> Decoder:
    return variant.load(folder, dtype="float32", threads=1)


def changed(folder: Path, target: Path, noise: float) -> Decoder:
    """A copy with noise on every weight, as a share of its own spread."""
    shutil.copytree(folder, target)
    tensors = load_file(target / "model.safetensors")
    torch.manual_seed(1)
    moved = {n: t + noise * t.std() * torch.randn_like(t) for n, t in tensors.items()}
    save_file(moved, target / "model.safetensors", {"format": "pt"})
    return variant.load(target, dtype="float32", threads=1)


def test_a_model_keeps_its_own_chat(base: Decoder) -> None:
    found = chat_check.check(base, base, chat_check.QUESTIONS[:3])
    assert found.kl == pytest.approx(0, abs=1e-6)
    assert found.loss == found.base_loss
    assert found.faults == found.base_faults
    assert found.questions == 3


def test_a_model_that_has_moved_diverges_the_more_the_further(
    base: Decoder, folder: Path, tmp_path: Path
) -> None:
    questions = chat_check.QUESTIONS[:2]
    near = chat_check.check(base, changed(folder, tmp_path / "near", 0.01), questions)
    far = chat_check.check(base, changed(folder, tmp_path / "far", 0.5), questions)
    assert 0 < near.kl < far.kl
    assert far.loss > near.loss
    assert not far.kept
    assert any("KL" in reason for reason in far.reasons)


def test_the_divergence_is_that_of_the_reference(
    base: Decoder, folder: Path, tmp_path: Path
) -> None:
    other = changed(folder, tmp_path / "other", 0.1)
    prompt, answer = [5, 6, 7], (40, 41, 42)
    p, q = (chat_check._log_probabilities(one, prompt, answer) for one in (base, other))
    by_hand = sum(
        math.exp(p[n, t]) * float(p[n, t] - q[n, t]) for n in range(3) for t in range(p.shape[1])
    )
    kl = torch.nn.functional.kl_div(q, p, reduction="none", log_target=True).sum()
    assert float(kl) == pytest.approx(by_hand, rel=1e-3)


def test_a_reply_is_what_the_engine_answers(default_model: InstalledModel) -> None:
    decoder = variant.load(default_model.folder, dtype="float32", threads=1)
    question = [{"role": "user", "content": "What is the capital of France?"}]
    reply = chat_check.reply(decoder, decoder.tokenizer.encode(decoder.tokenizer.chat(question)))
    assert "Paris" in decoder.tokenizer.decode(reply.ids)
    assert reply.end in decoder.model.config.eos_ids
    assert chat_check.faults(decoder, [reply]) == Faults(0, 0, 0, 0)


def test_faults_are_told_apart(base: Decoder) -> None:
    sentinel = next(i for i in base.tokenizer.special_ids if i not in base.model.config.eos_ids)
    eos = next(iter(base.model.config.eos_ids))
    some = tuple(base.tokenizer.encode("return tokenizer"))
    replies = [
        Reply(some, eos),
        Reply(some, None),
        Reply((), eos),
        Reply(some, sentinel),
        Reply((some[0],) * 20, None),
    ]
    assert chat_check.faults(base, replies) == Faults(endless=2, empty=1, loops=1, sentinels=1)


@pytest.mark.parametrize(
    ("ids", "loop"),
    [
        ([7] * 16, True),
        ([7] * 15, False),
        ([1, 2, 3] + [7] * 16, True),
        ([7] * 16 + [1], False),  # it found its way out
        ([1, 2, 3, 4, 5] * 4, True),
        ([1, 2, 3, 4, 5] * 3, False),
        (list(range(100)), False),
        ([], False),
    ],
)
def test_a_loop_is_one_piece_said_again_and_again(ids: list[int], loop: bool) -> None:
    assert chat_check.is_loop(ids) is loop


def test_the_verdict_names_each_reason() -> None:
    none = Faults(0, 0, 0, 0)
    good = Result(24, 0.1, 1.1, 1.0, none, none)
    assert good.kept
    assert replace(good, faults=Faults(chat_check.SLACK, 0, 0, 0)).kept
    bad = replace(good, kl=math.nan, faults=Faults(3, 3, 3, 1))
    assert not bad.kept
    assert [reason.split()[0] for reason in bad.reasons] == [
        "KL",
        "endless:",
        "empty:",
        "loops:",
        "sentinels:",
    ]
    assert replace(bad, kl=0.0, base_faults=Faults(3, 3, 3, 0)).reasons == [
        "sentinels: 1 of 24, 0 with the base"
    ]
    assert json.loads(json.dumps(good.to_json()))["kept"] is True


def test_a_model_without_a_chat_template_cannot_be_checked(folder: Path, tmp_path: Path) -> None:
    bare = shutil.copytree(folder, tmp_path / "bare")
    (bare / "chat_template.jinja").unlink()
    decoder = variant.load(bare, dtype="float32", threads=1)
    with pytest.raises(EngineError, match="chat template"):
        chat_check.check(decoder, decoder)


def test_the_questions_are_a_couple_of_dozen_and_differ() -> None:
    assert len(set(chat_check.QUESTIONS)) == 24


def test_what_is_replayed_is_a_models_answers_and_most_of_all_their_ends(
    default_model: InstalledModel,
) -> None:
    asked = ["What is the capital of France? Answer in one sentence.", "Say: yes"]
    tokenizer = variant.load(default_model.folder, threads=1).tokenizer
    model = AutoModelForCausalLM.from_pretrained(default_model.folder)
    made = replay.replay(model, chat.encoded(tokenizer, asked), temperature=0.1)
    assert made.replayed.all()
    found = []
    for begin, end, middle in zip(made.starts(), made.starts()[1:], made.middles, strict=False):
        ids, weights = made.ids[begin:end], made.weights[begin:end]
        assert not weights[:middle].any()
        ends = [tokenizer.name_of(int(token)) == "<|im_end|>" for token in ids[middle:]]
        assert list(weights[middle:]) == [replay.END_WEIGHT if end else 1 for end in ends]
        assert not any(ends[:-1])
        found.append(tokenizer.decode([int(token) for token in ids]))
    assert "What is the capital of France?" in found[0]
    assert "Paris" in found[0].partition("assistant")[2]
