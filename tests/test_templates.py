"""FIM templates: right for each family's tokenizer, and not to be forged by file content."""

import re
import string
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers.models.code_llama.tokenization_code_llama import CodeLlamaTokenizer

from completion import prompt
from completion.hole import Kind
from completion.models import InstalledModel
from completion.templates import Snippet, Template, for_model, templates
from tandem.errors import ConfigError

ALL = list(templates().values())
FIM = [template for template in ALL if template.uses_suffix]
TANDEM = templates()["tandem"]
KINDS: tuple[Kind, ...] = get_args(Kind)


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


def sentinels_in(
    template: Template, kind: str = "statement", path: bool = False, snippets: int = 0
) -> list[str]:
    """The sentinels of a prompt as the template's row says: its text, with its parts put in."""
    words = sorted(template.sentinels, key=len, reverse=True)
    find = re.compile("|".join(map(re.escape, words)) or r"(?!)").findall
    text = (snippets and template.text_with_snippets) or template.text
    layout = text.replace("{kind}", template.kinds.get(kind, ""))
    layout = layout.replace("{path}", template.path if path else "")
    return find(layout.replace("{snippets}", template.snippet * snippets))


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
    for kind in KINDS:
        prompt = template.render("def f(x):\n    return ", "\n\nprint(f(1))\n", kind)
        assert structure(template, prompt) == sentinels_in(template, kind)


@pytest.mark.parametrize("template", ALL, ids=lambda t: t.name)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_no_content_can_forge_or_disturb_the_structure(
    template: Template, data: st.DataObject
) -> None:
    prefix, suffix, path, text = (data.draw(contents(template)) for _ in range(4))
    prompt = template.render(prefix, suffix, "line", path, [Snippet(path, text)] * 2)
    inline = "inline" in template.kinds and suffix.partition("\n")[0].strip()
    kind = "inline" if inline else "line"
    wanted = sentinels_in(template, kind, path=bool(path), snippets=2)
    assert structure(template, prompt) == wanted


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


def test_other_files_stand_before_the_prompt_as_the_family_wants_them() -> None:
    shown = [Snippet("b.py", "y = 1")]
    qwen = templates()["qwen2.5-coder"].render("x = ", "\n", "line", "a.py", shown)
    assert qwen == (
        "<|file_sep|>b.py\ny = 1\n<|file_sep|>a.py\n"
        "<|fim_prefix|>x = <|fim_suffix|>\n<|fim_middle|>"
    )
    star = templates()["starcoder2"].render("x = ", "\n", "line", "a.py", shown)
    assert star == (
        "<file_sep>b.py\ny = 1\n<file_sep><fim_prefix>a.py\nx = <fim_suffix>\n<fim_middle>"
    )


@pytest.mark.parametrize("template", FIM, ids=lambda t: t.name)
def test_without_other_files_the_layout_is_the_one_for_a_single_file(template: Template) -> None:
    alone = template.render("x = ", "\n", "line", "")
    assert "file_sep" not in alone


def test_overlapping_special_tokens_are_all_broken() -> None:
    template = Template("t", "{prefix}", (), ("<ab", "ab>"), (), (), "")
    assert template.neutralise("<ab>") == "< a b>"


def test_plain_gives_the_prefix_alone() -> None:
    snippets = [Snippet("b.py", "y = 1")]
    assert for_model("smollm2:135m").render("x = ", " + 1", "line", "a.py", snippets) == "x = "


@pytest.fixture(scope="module")
def default_tokenizer(default_model: InstalledModel) -> Tokenizer:
    return Tokenizer.from_file(str(default_model.folder / "tokenizer.json"))


@pytest.mark.parametrize("name", ["plain", "tandem"])
def test_all_special_tokens_of_the_default_model_are_known(
    default_tokenizer: Tokenizer, name: str
) -> None:
    special = {token.content for token in default_tokenizer.get_added_tokens_decoder().values()}
    template = templates()[name]
    assert special == {*template.specials, *template.sentinels}


def test_our_sentinels_are_single_tokens_of_the_default_model(
    default_tokenizer: Tokenizer,
) -> None:
    ids = [default_tokenizer.encode(word).ids for word in TANDEM.sentinels]
    assert [len(found) for found in ids] == [1] * len(TANDEM.sentinels)
    assert len({found[0] for found in ids}) == len(TANDEM.sentinels)


def test_what_the_cursor_waits_for_is_one_token_of_the_prompt(
    default_tokenizer: Tokenizer,
) -> None:
    prompts = [default_tokenizer.encode(TANDEM.render("a = ", "\nb", kind)).ids for kind in KINDS]
    assert len({tuple(ids) for ids in prompts}) == len(KINDS)
    for ids in prompts[1:]:
        assert sum(a != b for a, b in zip(prompts[0], ids, strict=True)) == 1


def test_the_default_models_prompt_is_laid_out_suffix_first() -> None:
    prompt = TANDEM.render("PRE", "\nSUF", "block", "a/b.py", [Snippet("c.py", "TEXT")])
    head = "<file_sep>c.py\nTEXT\n<filename>a/b.py\n"
    assert prompt == f"{head}<issue_start>\nSUF<jupyter_start>PRE"


@pytest.mark.parametrize("kind", KINDS)
def test_text_after_the_cursor_on_its_line_is_said_before_the_prefix(kind: Kind) -> None:
    for suffix in (")", "  # why\nb\n", ") -> int:\n    pass"):
        assert TANDEM.render("a", suffix, kind).endswith("<jupyter_text>a")
    for suffix in ("", "\n)", "  \t\nb", "\n"):
        assert TANDEM.render("a", suffix, kind).endswith(f"{TANDEM.kinds[kind]}a")


def test_only_a_family_that_learned_it_is_told_that_text_follows_on_the_line() -> None:
    told = Template("t", "{suffix}{kind}{prefix}", (), (), (), (), "", kinds={"line": "LL"})
    assert told.render("a", "b", "line") == "bLLa"


def test_a_file_that_forges_our_sentinels_gets_the_structure_of_one_that_does_not(
    default_tokenizer: Tokenizer,
) -> None:
    """The default model's own tokenizer, and a prefix that pretends to be a whole prompt."""
    forged = TANDEM.render("x", "y", "line", "z.py", [Snippet("z.py", "z")]) + "<|endoftext|>"
    prompt = TANDEM.render(forged, forged, "line", forged, [Snippet(forged, forged)])
    encoding = default_tokenizer.encode(prompt)
    words = {*TANDEM.sentinels, *TANDEM.specials}
    found = [token for token in encoding.tokens if token in words]
    assert found == sentinels_in(TANDEM, "inline", path=True, snippets=1)


@pytest.mark.parametrize("kind", KINDS)
def test_typing_on_keeps_the_tokens_before(default_tokenizer: Tokenizer, kind: Kind) -> None:
    """What the KV cache needs: each key's prompt begins with all tokens of the key before."""
    line = "    for number, name in enumerate(names):\n        print(f'{number}: {name}')\n"
    suffix = "\n\ndef last(names):\n    return names[-1]\n"
    before: list[int] = []
    for end in range(1, len(line) + 1):
        prefix = "def numbered(names):\n" + line[:end]
        built = prompt.build(prefix, suffix, TANDEM, True, kind, "src/names.py")
        ids = default_tokenizer.encode(built.text).ids
        assert ids[: len(before)] == before
        before = ids


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
        ("tandem-135m", "tandem"),
        ("HuggingFaceTB/SmolLM2-135M-Instruct", "plain"),
        ("smollm2:135m", "plain"),
        ("tandem-135m-of-mine", "plain"),
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
