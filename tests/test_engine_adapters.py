"""LoRA adapters in the engine, against peft's own merge; then over HTTP, by name."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
import torch
from safetensors.torch import load_file, save_file

from completion import adapters, lora
from completion.engine.adapters import KEPT_VARIANTS, Variants, merge, with_adapter
from completion.engine.answers import CAPABILITIES
from completion.engine.background import Address
from completion.engine.generate import Decoder
from completion.engine.model import Model
from completion.engine.request import Request
from finetune import registry
from tandem.errors import ModelError, UsageError
from tests import tiny_adapters, tiny_models
from tests.tiny_adapters import Store
from tests.wire import stats

TOKENS = torch.randint(3, 512, (90,), generator=torch.Generator().manual_seed(1)).tolist()


def logits(model: Model, tokens: list[int] = TOKENS) -> torch.Tensor:
    return model.logits(model.forward(tokens, model.new_cache()))


def answer(decoder: Decoder, tokens: list[int], count: int = 12) -> str:
    chunks = list(decoder.generate(Request(tuple(tokens), count)))
    assert chunks[-1].finish
    return "".join(chunk.text for chunk in chunks)


@pytest.mark.parametrize(
    ("variant", "options"),
    [
        ("llama tied", {}),
        ("llama wide heads", {}),
        ("qwen2", {}),
        ("llama tied", {"use_rslora": True}),
        ("qwen2", {"target_modules": ["v_proj", "down_proj"], "r": 2}),
    ],
)
def test_logits_are_those_of_peft_before_and_after_its_own_merge(
    tmp_path: Path, variant: str, options: dict[str, Any]
) -> None:
    reference = tiny_models.make(tmp_path / "base", variant)
    adapted = tiny_adapters.make(tmp_path / "lora", reference, **options)
    base = Model.load(tmp_path / "base", torch.float32, 256)
    ours = merge(base, lora.examine(tmp_path / "lora", tmp_path / "base"))
    with torch.inference_mode():
        for model in (adapted, adapted.merge_and_unload()):
            expected = model(torch.tensor([TOKENS])).logits[0]
            torch.testing.assert_close(logits(ours), expected, atol=1e-3, rtol=1e-4)
    assert (logits(ours) - logits(base)).abs().max() > 0.1


@pytest.mark.parametrize("seed", range(2))
def test_greedy_text_is_that_of_the_merged_model_token_for_token(tmp_path: Path, seed: int) -> None:
    reference = tiny_models.make(tmp_path / "base", "llama tied")
    adapted = tiny_adapters.make(tmp_path / "lora", reference, seed)
    decoder = Decoder.load(tmp_path / "base", "float32", context=256)
    ours = with_adapter(decoder, tmp_path / "lora", tmp_path / "base")
    merged = adapted.merge_and_unload()
    prompt = TOKENS[: 20 + seed]
    output = merged.generate(torch.tensor([prompt]), max_new_tokens=40, do_sample=False)
    new = output[0][len(prompt) :].tolist()
    ends = [at for at, token in enumerate(new) if token in decoder._ends]
    expected = decoder.tokenizer.decode(new[: ends[0]] if ends else new)
    assert answer(ours, prompt, 40) == expected
    assert answer(decoder, prompt, 40) != expected


def test_what_is_not_changed_is_shared_and_the_base_stays_as_it_was(tmp_path: Path) -> None:
    reference = tiny_models.make(tmp_path / "base", "llama untied")
    tiny_adapters.make(tmp_path / "lora", reference, target_modules=["k_proj", "o_proj"])
    base = Model.load(tmp_path / "base", torch.float32, 64)
    before = logits(base, TOKENS[:30])
    ours = merge(base, lora.examine(tmp_path / "lora", tmp_path / "base"))
    assert torch.equal(logits(base, TOKENS[:30]), before)
    assert ours.embedding is base.embedding
    assert ours.head is base.head
    for mine, theirs in zip(ours.layers, base.layers, strict=True):
        assert mine.gate_up is theirs.gate_up
        assert mine.down is theirs.down
        assert mine.attention_norm is theirs.attention_norm
        assert mine.qkv.weight.data_ptr() != theirs.qkv.weight.data_ptr()
        # Of the fused rows only those of the keys differ.
        rows = (mine.qkv.weight != theirs.qkv.weight).any(1).nonzero().flatten()
        assert (int(rows.min()), int(rows.max())) == (48, 63)


def test_bfloat16_is_merged_in_float32_and_rounded_once(tmp_path: Path) -> None:
    reference = tiny_models.make(tmp_path / "base", "llama tied")
    adapted = tiny_adapters.make(tmp_path / "lora", reference)
    half = Model.load(tmp_path / "base", torch.bfloat16, 64)
    ours = merge(half, lora.examine(tmp_path / "lora", tmp_path / "base"))
    module: Any = adapted.base_model.model.model.layers[1].mlp.down_proj  # type: ignore[union-attr]
    exact = half.layers[1].down.weight.float() + module.get_delta_weight("default")
    difference = (ours.layers[1].down.weight.float() - exact).abs()
    assert ours.layers[1].down.weight.dtype == torch.bfloat16
    assert bool((difference <= exact.abs() * 2**-8).all())


def test_numbers_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    reference = tiny_models.make(tmp_path / "base", "llama tied")
    tiny_adapters.make(tmp_path / "lora", reference)
    file = tmp_path / "lora" / lora.WEIGHTS
    tensors = load_file(file)
    name = next(name for name in tensors if "lora_B" in name)
    tensors[name][0, 0] = float("nan")
    save_file(tensors, file)
    base = Model.load(tmp_path / "base", torch.float32, 64)
    with pytest.raises(ModelError, match="not finite"):
        merge(base, lora.examine(tmp_path / "lora", tmp_path / "base"))


@pytest.fixture
def store(empty_home: Path) -> Store:
    return Store()


@pytest.fixture
def variants(store: Store) -> Variants:
    return Variants(Decoder.load(store.folder, "float32", context=256), lambda: store.base)


def test_a_variant_is_loaded_once_and_the_oldest_of_three_is_dropped(
    store: Store, variants: Variants
) -> None:
    for seed, name in enumerate("abc"):
        store.add(name, seed)
    a, b = variants.decoder("a"), variants.decoder("b")
    assert variants.decoder("a") is a
    variants.decoder("c")  # b was asked for longest ago
    assert variants.decoder("a") is a
    assert variants.decoder("b") is not b
    assert len(variants._loaded) == KEPT_VARIANTS


def test_keys_and_values_are_never_shared_between_variants(
    store: Store, variants: Variants
) -> None:
    """The same prompt to three models in turn: each answers as if it were asked alone."""
    expected = {"": answer(variants.decoder(), TOKENS)}
    for seed, name in enumerate("ab", 1):
        store.add(name, seed)
        alone = with_adapter(variants.decoder(), adapters.folder_of(name), store.folder)
        expected[name] = answer(alone, TOKENS)
    assert len(set(expected.values())) == 3
    variants.decoder().forget()
    for name in ["", "a", "b", "", "b", "a", "a", ""]:
        assert answer(variants.decoder(name), TOKENS) == expected[name]


def test_work_is_counted_over_dropped_variants(store: Store, variants: Variants) -> None:
    counts = []
    for seed, name in enumerate("abc"):
        store.add(name, seed)
        answer(variants.decoder(name), TOKENS)
        counts.append(variants.work.written)
    assert 0 < counts[0] < counts[1] < counts[2]


def test_an_adapter_that_is_made_again_is_read_again(store: Store, variants: Variants) -> None:
    store.add("a", 1)
    first = answer(variants.decoder("a"), TOKENS)
    registry.remove("a")
    with pytest.raises(UsageError, match="There is no adapter a"):
        variants.decoder("a")
    shutil.rmtree(store.work)
    store.add("a", 2)
    assert answer(variants.decoder("a"), TOKENS) != first


def test_a_file_that_changed_since_it_was_registered_is_not_loaded(
    store: Store, variants: Variants
) -> None:
    store.add("a", 1)
    file = adapters.folder_of("a") / lora.WEIGHTS
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(ModelError, match=r"adapter_model.safetensors has changed.*tandem tune"):
        variants.decoder("a")


# Over HTTP: one engine process with a tiny model, adapters come and go while it runs.


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Store, Address]]:
    with tiny_adapters.served(tmp_path_factory.mktemp("served")) as served:
        yield served.store, served.address


@pytest.fixture
def served(engine: tuple[Store, Address]) -> Iterator[Store]:
    yield engine[0]
    for name in adapters.names():
        shutil.rmtree(adapters.folder_of(name))
    shutil.rmtree(engine[0].work, ignore_errors=True)


@pytest.fixture
def client(engine: tuple[Store, Address]) -> Iterator[openai.OpenAI]:
    address = engine[1]
    with openai.OpenAI(
        base_url=address.url, api_key=address.token, max_retries=0, timeout=120
    ) as client:
        yield client


def complete(client: openai.OpenAI, model: str, **fields: Any) -> Any:
    return client.completions.create(
        **{"model": model, "prompt": TOKENS, "max_tokens": 12, "temperature": 0, **fields}
    )


def test_the_list_has_the_base_and_then_its_adapters(served: Store, client: openai.OpenAI) -> None:
    assert [card.id for card in client.models.list()] == ["tiny"]
    served.add("one", 1)
    base, card = client.models.list().data
    assert (base.id, (base.model_extra or {})["parent"]) == ("tiny", None)
    extra = card.model_extra or {}
    assert (card.id, extra["parent"], extra["root"]) == ("one", "tiny", "tiny")
    assert extra["capabilities"] == CAPABILITIES
    assert client.models.retrieve("one") == card
    assert client.models.retrieve("tiny") == base


def test_a_request_is_answered_by_the_model_that_it_names(
    served: Store, client: openai.OpenAI
) -> None:
    before = complete(client, "tiny").choices[0].text
    local = Decoder.load(served.folder, "float32", context=256)
    for seed, name in enumerate(("one", "two"), 1):
        served.add(name, seed)
        expected = answer(with_adapter(local, adapters.folder_of(name), served.folder), TOKENS)
        for _ in range(2):
            reply = complete(client, name)
            assert (reply.model, reply.choices[0].text) == (name, expected)
        events = list(complete(client, name, stream=True))
        assert "".join(event.choices[0].text for event in events) == expected
        assert expected != before
    assert complete(client, "tiny").choices[0].text == before


def test_a_second_prompt_finds_the_variants_own_cache(served: Store, client: openai.OpenAI) -> None:
    served.add("one", 1)
    complete(client, "tiny")
    assert complete(client, "one").usage.prompt_tokens_details.cached_tokens == 0
    assert complete(client, "one").usage.prompt_tokens_details.cached_tokens > 60


def test_chat_is_answered_by_an_adapter_too(served: Store, client: openai.OpenAI) -> None:
    """The tiny model has no chat template: the refusal is about that, not about the name."""
    served.add("one", 1)
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="one", messages=[{"role": "user", "content": "x"}])
    assert caught.value.param == "messages"


@pytest.mark.parametrize("name", ["gpt-9", "../work", "a/b", "", ".active.json", "x" * 200])
def test_a_name_that_is_no_adapter_is_not_found(
    served: Store, client: openai.OpenAI, name: str
) -> None:
    if not name:
        assert complete(client, name).model == "tiny"
        return
    with pytest.raises(openai.NotFoundError, match="is not served here; 'tiny' is"):
        complete(client, name)


def test_a_stale_adapter_is_not_listed_and_says_how_to_tune_again(
    served: Store, client: openai.OpenAI
) -> None:
    served.add("old", 1)
    damage = (adapters.folder_of("old") / adapters.FILE).read_text()
    (adapters.folder_of("old") / adapters.FILE).write_text(
        damage.replace(served.base.hash, "0" * 64)
    )
    assert [card.id for card in client.models.list()] == ["tiny"]
    with pytest.raises(openai.ConflictError, match=r"stale.*tandem tune /repo"):
        complete(client, "old")


def test_a_damaged_adapter_fails_its_own_request_and_no_other(
    served: Store, client: openai.OpenAI, engine: tuple[Store, Address]
) -> None:
    served.add("good", 1)
    served.add("bad", 2)
    file = adapters.folder_of("bad") / lora.WEIGHTS
    data = bytearray(file.read_bytes())
    data[-1] ^= 1  # the header is whole, so only reading it all tells
    file.write_bytes(data)
    with pytest.raises(openai.InternalServerError, match=r"bad cannot be used.*has changed"):
        complete(client, "bad")
    with pytest.raises(openai.APIError, match="bad cannot be used"):
        list(complete(client, "bad", stream=True))
    file.write_bytes(data[:-50])
    with pytest.raises(openai.ConflictError, match="corrupt"):
        complete(client, "bad")
    assert complete(client, "good").choices[0].text
    assert complete(client, "tiny").choices[0].text
    assert stats(engine[1])["failed"] >= 2


def test_health_still_names_the_base(engine: tuple[Store, Address]) -> None:
    address = engine[1]
    body = httpx.get(
        address.url.removesuffix("/v1") + "/health",
        headers={"Authorization": f"Bearer {address.token}"},
        trust_env=False,
    ).json()
    assert (body["status"], body["model"]) == ("ok", "tiny")
