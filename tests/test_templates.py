"""FIM templates: right for each family's tokenizer, and not to be forged by file content."""

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers.models.code_llama.tokenization_code_llama import CodeLlamaTokenizer

from completion.models import InstalledModel
from completion.templates import Template, for_model, templates
from tandem.errors import ConfigError

ALL = list(templates().values())
FIM = [template for template in ALL if template.uses_suffix]


def tokenizer_of(template: Template) -> Tokenizer:
    """A byte-level tokenizer that has the family's special tokens, as the family's own has."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {symbol: number for number, symbol in enumerate(alphabet)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    words = [*template.sentinels, *template.specials]
    tokenizer.add_special_tokens([AddedToken(w, special=True, normalized=False) for w in words])
    return tokenizer


TOKENIZERS = {template.name: tokenizer_of(template) for template in ALL}


def structure(template: Template, prompt: str) -> list[str]:
    """The special tokens of an encoded prompt, in order."""
    words = {*template.sentinels, *template.specials}
    return [token for token in TOKENIZERS[template.name].encode(prompt).tokens if token in words]


def contents(template: Template) -> st.SearchStrategy[str]:
    """Any text, and text made of the family's special tokens, whole, cut and interleaved."""
    words = [*template.sentinels, *template.specials]
    cuts = st.sampled_from(words).flatmap(
        lambda word: st.integers(0, len(word)).flatmap(
            lambda n: st.sampled_from([word[:n], word[n:], word])
        )
    )
    forged = st.lists(cuts | st.text(max_size=3), max_size=8).map("".join)
    return forged | st.text(max_size=60)


@pytest.mark.parametrize("template", FIM, ids=lambda t: t.name)
def test_each_sentinel_is_one_token_and_occurs_once_in_the_templates_order(
    template: Template,
) -> None:
    prompt = template.render("def f(x):\n    return ", "\n\nprint(f(1))\n")
    assert structure(template, prompt) == sorted(template.sentinels, key=template.text.index)


@pytest.mark.parametrize("template", ALL, ids=lambda t: t.name)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_no_content_can_forge_or_disturb_the_structure(
    template: Template, data: st.DataObject
) -> None:
    prefix, suffix = data.draw(contents(template)), data.draw(contents(template))
    prompt = template.render(prefix, suffix)
    assert structure(template, prompt) == sorted(template.sentinels, key=template.text.index)


@pytest.mark.parametrize("template", ALL, ids=lambda t: t.name)
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_neutralising_only_adds_spaces_and_is_stable(
    template: Template, data: st.DataObject
) -> None:
    content = data.draw(contents(template))
    once = template.neutralise(content)
    assert once.replace(" ", "") == content.replace(" ", "")
    assert template.neutralise(once) == once


@pytest.mark.parametrize("template", ALL, ids=lambda t: t.name)
def test_content_without_special_tokens_is_kept_to_the_letter(template: Template) -> None:
    prefix, suffix = "a = b < c | d > e  # {suffix}\n", "\treturn {prefix}\r\n[x]"
    prompt = template.render(prefix, suffix)
    assert prefix in prompt
    assert suffix in prompt or not template.uses_suffix


def test_overlapping_special_tokens_are_all_broken() -> None:
    template = Template("t", "{prefix}", (), ("<ab", "ab>"), (), (), "")
    assert template.neutralise("<ab>") == "< a b>"


def test_plain_gives_the_prefix_alone() -> None:
    assert for_model("tandem-135m").render("x = ", " + 1") == "x = "


def test_plain_knows_all_special_tokens_of_the_default_model(
    default_model: InstalledModel,
) -> None:
    tokenizer = Tokenizer.from_file(str(default_model.folder / "tokenizer.json"))
    special = {token.content for token in tokenizer.get_added_tokens_decoder().values()}
    assert special == set(for_model("tandem-135m").specials)


def codellama_tokens(prompt: str) -> list[str]:
    pieces = ["<unk>", "<s>", "</s>", "▁", *string.printable]
    pieces += ["▁<PRE>", "▁<MID>", "▁<SUF>", "▁<EOT>", "<FILL_ME>"]
    tokenizer = CodeLlamaTokenizer(vocab={p: n for n, p in enumerate(pieces)}, merges=[])
    return list(tokenizer.convert_ids_to_tokens(tokenizer(prompt)["input_ids"]))


def test_codellama_prompt_is_tokenised_as_the_model_was_trained() -> None:
    prompt = for_model("codellama/CodeLlama-7b-hf").render("f(x)", "return")
    wanted = ["<s>", "▁<PRE>", "▁", *"f(x)", "▁<SUF>", *"return", "▁<MID>"]
    assert codellama_tokens(prompt) == wanted


def test_codellama_sentinels_without_their_u2581_would_be_plain_text() -> None:
    assert "▁<PRE>" not in codellama_tokens("<PRE> f(x) <SUF>return <MID>")


@pytest.mark.parametrize("template", ALL, ids=lambda t: t.name)
def test_stop_strings_are_few_enough_for_any_server(template: Template) -> None:
    assert len(template.stop) <= 4
    assert set(template.stop) <= {*template.sentinels, *template.specials}


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("tandem-135m", "plain"),
        ("Qwen/Qwen2.5-Coder-1.5B", "qwen2.5-coder"),
        ("qwen2.5-coder:7b", "qwen2.5-coder"),
        ("Qwen/Qwen2.5-1.5B", "plain"),
        ("bigcode/starcoder2-3b", "starcoder2"),
        ("deepseek-ai/deepseek-coder-1.3b-base", "deepseek-coder"),
        ("deepseek-ai/DeepSeek-Coder-V2-Lite-Base", "deepseek-coder"),
        ("codellama/CodeLlama-7b-hf", "codellama"),
        ("codellama/CodeLlama-7b-Python-hf", "plain"),
        ("codellama:34b-code", "plain"),
        ("mistralai/Codestral-22B-v0.1", "codestral"),
        ("codestral-latest", "codestral"),
        ("mistralai/Mamba-Codestral-7B-v0.1", "plain"),
        ("ibm-granite/granite-3b-code-base-2k", "granite"),
        ("granite-code:8b", "granite"),
        ("ibm-granite/granite-3.3-8b-base", "granite"),
        ("ibm-granite/granite-4.0-h-tiny-base", "granite-4"),
        ("granite4:micro", "granite-4"),
        ("gpt-4o-mini", "plain"),
        ("", "plain"),
    ],
)
def test_a_models_name_chooses_its_template(model: str, name: str) -> None:
    assert for_model(model).name == name


def test_an_override_wins_over_the_name() -> None:
    assert for_model("my-own-model", "starcoder2").name == "starcoder2"


def test_an_unknown_override_names_the_templates_there_are() -> None:
    with pytest.raises(ConfigError, match=r"no FIM template 'starcoder9'.*starcoder2"):
        for_model("x", "starcoder9")
