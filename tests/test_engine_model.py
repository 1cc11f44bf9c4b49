"""The forward pass against transformers, on random models of each family and on the real one."""

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from completion.engine.generate import Decoder
from completion.engine.model import Model
from completion.engine.request import Request
from completion.engine.weights import AnyModel
from completion.models import InstalledModel
from tandem.errors import ModelError
from tests import tiny_models

REPOSITORY = Path(__file__).parent.parent
# float32 sums in another order: the largest difference of any logit on real files.
TOLERANCE = 1e-3


def ours(model: AnyModel, tokens: list[int], pieces: list[int]) -> torch.Tensor:
    """Logits of all positions, read in pieces of the given lengths."""
    cache, hidden, start = model.new_cache(), [], 0
    for length in [*pieces, len(tokens)]:
        piece = tokens[start : start + length]
        if piece:
            hidden.append(model.forward(piece, cache))
        start += len(piece)
    return model.logits(torch.cat(hidden))


@pytest.mark.parametrize("variant", tiny_models.VARIANTS)
def test_logits_agree_with_transformers(tmp_path: Path, variant: str) -> None:
    reference = tiny_models.make(tmp_path, variant)
    tokens = torch.randint(0, 512, (150,), generator=torch.Generator().manual_seed(1)).tolist()
    with torch.inference_mode():
        expected = reference(torch.tensor([tokens])).logits[0]
    model = Model.load(tmp_path, torch.float32, 256)
    for pieces in ([], [1, 1, 1, 60], [149]):
        torch.testing.assert_close(ours(model, tokens, pieces), expected, atol=1e-3, rtol=1e-4)


def test_sharded_weights_load_the_same(tmp_path: Path) -> None:
    tiny_models.make(tmp_path / "one", "qwen2")
    tiny_models.make(tmp_path / "many", "qwen2", shard_size="50KB")
    assert len(list((tmp_path / "many").glob("*.safetensors"))) > 2
    one = Model.load(tmp_path / "one", torch.float32, 64)
    many = Model.load(tmp_path / "many", torch.float32, 64)
    tokens = list(range(40))
    torch.testing.assert_close(ours(one, tokens, []), ours(many, tokens, []), atol=0, rtol=0)


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    tiny_models.make(tmp_path, "llama tied", shard_size="50KB")
    shard = sorted(tmp_path.glob("model-*.safetensors"))[1]
    shard.unlink()
    with pytest.raises(ModelError, match=shard.name):
        Model.load(tmp_path, torch.float32, 64)


def test_a_truncated_shard_is_named(tmp_path: Path) -> None:
    tiny_models.make(tmp_path, "llama tied")
    file = tmp_path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ModelError, match=r"model\.safetensors"):
        Model.load(tmp_path, torch.float32, 64)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("architectures", ["GPT2LMHeadModel"], "GPT2LMHeadModel"),
        ("rope_parameters", {"rope_type": "yarn", "factor": 2.0}, "yarn"),
    ],
)
def test_what_we_cannot_run_is_refused(
    tmp_path: Path, key: str, value: object, message: str
) -> None:
    tiny_models.make(tmp_path, "llama tied")
    file = tmp_path / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {key: value}))
    with pytest.raises(ModelError, match=message):
        Model.load(tmp_path, torch.float32, 64)


@pytest.fixture(scope="module")
def reference(default_model: InstalledModel):
    return AutoModelForCausalLM.from_pretrained(default_model.folder, dtype=torch.float32).eval()


@pytest.fixture(scope="module")
def decoder(default_model: InstalledModel) -> Decoder:
    return Decoder.load(default_model.folder, "float32")


FILES = ["tandem/config.py", "completion/engine/model.py", "README.md"]


@pytest.mark.parametrize("name", FILES)
def test_the_default_model_agrees_on_real_files(reference, decoder: Decoder, name: str) -> None:
    tokens = decoder.tokenizer.encode((REPOSITORY / name).read_text("utf-8"))[:600]
    with torch.inference_mode():
        expected = reference(torch.tensor([tokens])).logits[0]
    actual = ours(decoder.model, tokens, [256])
    assert float((actual - expected).abs().max()) < TOLERANCE


@pytest.mark.parametrize("name", FILES)
def test_greedy_text_equals_transformers_token_for_token(
    reference, decoder: Decoder, name: str
) -> None:
    tokens = decoder.tokenizer.encode((REPOSITORY / name).read_text("utf-8"))[:300]
    output = reference.generate(torch.tensor([tokens]), max_new_tokens=40, do_sample=False)
    expected = decoder.tokenizer.decode(output[0][len(tokens) :].tolist())
    chunks = list(decoder.generate(Request(tuple(tokens), 40)))
    assert "".join(chunk.text for chunk in chunks) == expected


def test_bfloat16_differs_only_where_two_tokens_are_close(
    decoder: Decoder, default_model: InstalledModel
) -> None:
    """The stated epsilon of the design: 1.0 in logits, between the best and the chosen one."""
    half = Decoder.load(default_model.folder, "bfloat16")
    tokens = decoder.tokenizer.encode((REPOSITORY / FILES[0]).read_text("utf-8"))[:400]
    exact = ours(decoder.model, tokens, [256])
    chosen = ours(half.model, tokens, [256]).argmax(-1)
    gap = exact.max(-1).values - exact.gather(-1, chosen[:, None])[:, 0]
    assert float(gap.max()) < 1.0
    assert float((gap == 0).float().mean()) > 0.9
