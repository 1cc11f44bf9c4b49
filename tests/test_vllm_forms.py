"""What vLLM can do with a model besides serving it plainly, each in a real vLLM on the CPU:
quantised weights, a model split over processes, copies of it, and all that guesses.

The tiny model, whose greedy text in float32 transformers itself tells.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from tokenizers import Tokenizer
from transformers import PreTrainedModel

from tests import tiny_adapters, tiny_heads, tiny_models, tiny_quantized
from tests.lsp_client import make_home
from tests.vllm_server import VLLM, vllm

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(1800)]

PROMPTS = [
    "def add(a, b):\n    return",
    "import os\n",
    "class Point:\n    def __init__(self, x, y):\n",
    "for name in names:\n",
    "numbers = [1, 2, 3, 1, 2, 3, 1, 2,",
    "from tokenizers import",
]
TOKENS = 32
PLAIN = 'context = 256\n[speculation]\nmethod = "off"\n'


@dataclass(frozen=True)
class Tiny:
    """The model's folder, transformers' own of it, and user folders without any."""

    folder: Path
    model: PreTrainedModel
    tokenizer: Tokenizer
    home: Path

    def texts(self, model: Any = None) -> list[str]:
        """What transformers writes after each prompt."""
        return [self._text(prompt, model or self.model) for prompt in PROMPTS]

    def logprobs(self) -> torch.Tensor:
        """Of the token after each prompt, [prompts, vocabulary]."""
        rows = []
        for prompt in PROMPTS:
            with torch.no_grad():
                logits = self.model(torch.tensor([self.tokenizer.encode(prompt).ids])).logits
            rows.append(logits[0, -1].log_softmax(-1))
        return torch.stack(rows)

    def _text(self, prompt: str, model: Any) -> str:
        ids = self.tokenizer.encode(prompt).ids
        whole = torch.tensor([ids])
        with torch.no_grad():
            for _ in range(TOKENS):  # `generate` has no way to go on after an end
                best = model(whole).logits[:, -1:].argmax(-1)
                whole = torch.cat([whole, best], 1)
        text = self.tokenizer.decode(whole[0, len(ids) :].tolist(), skip_special_tokens=False)
        return _whole_characters(text)


@pytest.fixture
def tiny(tmp_path: Path) -> Tiny:
    folder = tmp_path / "tiny"
    folder.mkdir()
    model = tiny_models.make(folder, "llama even")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    return Tiny(folder, model, tokenizer, make_home(tmp_path / "home", None))


@contextlib.contextmanager
def serving(
    tiny: Tiny, settings: str, folder: Path | None = None, dtype: str = "float32"
) -> Iterator[VLLM]:
    """Its model's name is the folder's."""
    served = folder or tiny.folder
    with vllm(tiny.home, str(served), settings, dtype) as running:
        running.model = served.name
        yield running


def texts(server: VLLM, **fields: Any) -> list[str]:
    asked = {"max_tokens": TOKENS, "ignore_eos": True, "skip_special_tokens": False, **fields}
    return [_whole_characters(server.text(prompt, **asked)) for prompt in PROMPTS]


def _whole_characters(text: str) -> str:
    """Servers differ in whether they tell the beginning of a character that never ended."""
    return text.rstrip("\ufffd")


def of_engine(server: VLLM, name: str) -> list[psutil.Process]:
    """vLLM's processes of this name; it names itself."""
    return [child for child in server.children() if name in child.name()]


@pytest.mark.parametrize("form", ["awq", "gptq"])
def test_quantised_weights_are_served_as_what_they_stand_for(
    tiny: Tiny, form: tiny_quantized.Form, tmp_path: Path
) -> None:
    """Much nearer to the rounded weights' log probabilities than to those before rounding."""
    before = tiny.logprobs()
    folder = tmp_path / form
    tiny_quantized.make(folder, tiny.folder, tiny.model, form)
    rounded = tiny.logprobs()
    asked = {"max_tokens": 1, "logprobs": 5, "return_tokens_as_token_ids": True}
    with serving(tiny, f'quantization = "{form}"\n{PLAIN}', folder, "bfloat16") as server:
        told = [
            server.complete(prompt, **asked)["choices"][0]["logprobs"]["top_logprobs"][0]
            for prompt in PROMPTS
        ]
    far = near = 0.0
    for row, one in enumerate(told):
        for token, logprob in one.items():
            which = int(token.removeprefix("token_id:"))
            near += abs(logprob - rounded[row, which].item())
            far += abs(logprob - before[row, which].item())
    assert near < far / 4


def test_a_model_split_in_two_is_the_model_and_guesses_from_earlier_answers(tiny: Tiny) -> None:
    settings = "context = 256\ntensor_parallel = 2\n[speculation]\n"
    settings += 'method = "suffix"\ntokens = 8\nleast_accepted = 0\n'
    right = tiny.texts()
    with serving(tiny, settings) as server:
        assert len(of_engine(server, "Worker_TP")) == 2
        assert texts(server) == right
        first = server.counts()
        assert texts(server) == right
        second = server.counts()
    # What was answered before is guessed whole, where the prompt alone gives little.
    again = second.accepted - first.accepted
    assert first.drafted > 0
    assert again > 2 * first.accepted
    assert again > 0.5 * (second.drafted - first.drafted)


def test_two_copies_of_a_model_answer_as_one_and_both_have_the_adapters(tiny: Tiny) -> None:
    adapter = tiny.home / "adapter"
    adapted = tiny_adapters.make(adapter, tiny_adapters.reload(tiny.folder), r=8, lora_alpha=32)
    settings = f'data_parallel = 2\n{PLAIN}[adapters]\nfolders = {{ ours = "{adapter}" }}\n'
    with serving(tiny, settings) as server:
        assert len(of_engine(server, "EngineCore_DP")) == 2
        assert texts(server) == tiny.texts()
        right = tiny.texts(adapted)
        assert right != tiny.texts()
        # Twice: the second of two copies gets every other request.
        for salt in ("a", "b"):
            assert texts(server, model="ours", cache_salt=salt) == right


def test_a_draft_model_guesses_and_changes_no_text(tiny: Tiny) -> None:
    """It is its own draft: what it guesses is right."""
    guesses = f'method = "draft"\nmodel = "{tiny.folder}"\ntokens = 3\nleast_accepted = 0\n'
    with serving(tiny, f"context = 256\n[speculation]\n{guesses}") as server:
        assert texts(server) == tiny.texts()
        counts = server.counts()
    assert counts.drafted > len(PROMPTS) * TOKENS / 2
    assert counts.accepted > 0.9 * counts.drafted


def test_a_head_of_eagle_3_that_guesses_badly_changes_no_text_and_is_turned_off(
    tiny: Tiny, tmp_path: Path
) -> None:
    head = tmp_path / "head"
    tiny_heads.make(head, tiny.model)
    guesses = f'method = "eagle3"\nmodel = "{head}"\ntokens = 3\njudge_after = 200\n'
    right = tiny.texts()
    with serving(tiny, f"context = 256\n[speculation]\n{guesses}") as server:
        assert texts(server) == right
        assert server.counts().drafted > 200
        server.ready(starts=2)
        assert "Speculation (eagle3) is turned off: " in server.said()
        assert texts(server) == right
        assert server.counts().drafted == 0
