"""Rules that look at the text alone: special tokens, secrets, loops, copies of what is above."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from completion.rules.leaks import cut_special_tokens, drop_secrets
from completion.rules.repeats import cut_repeated_lines, cut_token_loops, drop_text_above
from completion.templates import templates

WORDS = sorted({word for row in templates().values() for word in (*row.sentinels, *row.specials)})
KEY = "ghp_" + "aB3dE5fG7h" * 4


@pytest.mark.parametrize("token", [*WORDS, "<|unheard_of|>", "<｜User｜>"])
def test_a_special_token_of_any_family_ends_the_text(token: str) -> None:
    in_code = token[0] == "[" or token in ("<s>",)
    glued = f"a = 1{token}b"
    assert cut_special_tokens(glued, "x\n", "\n") == (glued if in_code else "a = 1")
    assert cut_special_tokens(f"a = {token} b", "x\n", "\n") == "a = "
    assert cut_special_tokens(token, "x\n", "\n") == ""


@pytest.mark.parametrize("token", WORDS)
def test_a_document_about_special_tokens_may_have_them(token: str) -> None:
    assert cut_special_tokens(f"a = '{token}'", f"b = '{token}'\n", "") == f"a = '{token}'"
    assert cut_special_tokens(f"a = '{token}'", "", f"\nb = '{token}'\n") == f"a = '{token}'"


@pytest.mark.parametrize(
    "text", ["names[PREFIX]", "vector<s> a", "a <| b", "a < b | c > d", "x |> f"]
)
def test_code_that_looks_like_a_special_token_stays(text: str) -> None:
    assert cut_special_tokens(text, "", "") == text


@pytest.mark.parametrize(
    "text", ["a = 1<|fim", "a = 1<|endoftext", "a = 1<fim_mid", "a = 1<｜fim▁ho"]
)
def test_the_start_of_a_special_token_at_the_end_goes(text: str) -> None:
    assert cut_special_tokens(text, "", "\n") == "a = 1"


def test_the_served_models_own_tokens_can_be_named() -> None:
    assert cut_special_tokens("a = 1§end§", "", "") == "a = 1§end§"
    assert cut_special_tokens("a = 1§end§", "", "", ["§end§"]) == "a = 1"


@pytest.mark.parametrize(
    ("prefix", "text", "suffix"),
    [
        ("x = ", f'"{KEY}"', "\n"),
        ('x = "', KEY, '"\n'),
        ('password = "', "xK9!mQ2z#Lw7", '"\n'),
        ('url = "postgres://admin:', "xK9mQ2zLw7", '@host/db"\n'),
    ],
)
def test_a_secret_is_dropped(prefix: str, text: str, suffix: str) -> None:
    assert drop_secrets(text, prefix, suffix) == ""


@pytest.mark.parametrize(
    ("prefix", "text"),
    [(f'x = "{KEY}"\n', "y = 1"), ("password = ", "read_password()"), ("token: ", "str")],
)
def test_no_secret_of_the_answers_own_stays(prefix: str, text: str) -> None:
    assert drop_secrets(text, prefix, "\n") == text


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("print(total)\nprint(total)\nprint(total)\nprint(total)", "print(total)"),
        ("a = 1\nshow(aa)\nhide(bb)\n" * 3 + "z = 1", "a = 1\nshow(aa)\nhide(bb)"),
        ("x = 0\nprint(total)\nprint(total)\nprint(total)", "x = 0\nprint(total)"),
        ("print(total)\nprint(total)\nz = 1", "print(total)\nprint(total)\nz = 1"),
        ("0,\n0,\n0,\n0,", "0,\n0,\n0,\n0,"),
        ("}\n}\n}\n}", "}\n}\n}\n}"),
        ("one line", "one line"),
    ],
)
def test_repeated_lines(text: str, kept: str) -> None:
    assert cut_repeated_lines(text.rstrip("\n"), "x = 1\n", "\n") == kept


def test_lines_that_are_repeated_around_may_be() -> None:
    text = "\n".join(["    out.append(blank)"] * 4)
    around = "    out.append(blank)\n" * 2
    assert cut_repeated_lines(text, around, "\n") == text
    assert cut_repeated_lines(text, "", "\n" + around) == text
    assert cut_repeated_lines(text, "", "\n") == "    out.append(blank)"


def test_the_cursors_line_counts_whole_among_repeated_lines() -> None:
    assert cut_repeated_lines("nt(total)\nprint(total)\nprint(total)", "pri", "\n") == "nt(total)"


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("f(a, a, a, a, a, a, a, a)", ""),
        ("x = 1\nf(a, a, a, a, a, a)\ny = 2", "x = 1"),
        ("self.a.a.a.a.a.a.a", ""),
        ("if x and x and x and x and x and x:", ""),
        ("nananananananananana", ""),
        ("f(a, a, a)", "f(a, a, a)"),
        ("[0, 0, 0, 0, 0, 0, 0, 0, 0]", "[0, 0, 0, 0, 0, 0, 0, 0, 0]"),
        ("# ---------------------", "# ---------------------"),
        ("0xFFFFFFFFFFFFFFFF", "0xFFFFFFFFFFFFFFFF"),
        ("", ""),
    ],
)
def test_token_loops(text: str, kept: str) -> None:
    assert cut_token_loops(text, "x = 1\n", "\n") == kept


def test_a_loop_that_stands_around_as_well_may_be_written() -> None:
    text = "a = [None, None, None, None, None, None]"
    assert cut_token_loops(text, "", "\n") == ""
    assert cut_token_loops(text, "b = [None, None, None, None, None, None]\n", "\n") == text


ABOVE = "a = load(path)\nb = parse(a)\nsave(b, path)\n"


@pytest.mark.parametrize(
    ("prefix", "text", "kept"),
    [
        (ABOVE, "b = parse(a)\nsave(b, path)", ""),
        (ABOVE, "a = load(path)\nb = parse(a)\nsave(b, path)", ""),
        (ABOVE + "x = 1\n", "a = load(path)\nb = parse(a)\nsave(b, path)", ""),
        (ABOVE + "x = 1\n", "b = parse(a)\nsave(b, path)", "b = parse(a)\nsave(b, path)"),
        (ABOVE, "save(b, path)", "save(b, path)"),
        (ABOVE, "b = parse(a)\nsave(c, path)", "b = parse(a)\nsave(c, path)"),
        ("f(1)\ng(2)\n", "f(1)\ng(2)", "f(1)\ng(2)"),
        (ABOVE + "x = ", "b = parse(a)\nsave(b, path)", "b = parse(a)\nsave(b, path)"),
    ],
)
def test_text_above(prefix: str, text: str, kept: str) -> None:
    assert drop_text_above(text, prefix) == kept


@given(st.text(), st.text(), st.text())
def test_rules_of_the_text_only_shorten_it(text: str, prefix: str, suffix: str) -> None:
    for kept in (
        cut_special_tokens(text, prefix, suffix),
        drop_secrets(text, prefix, suffix),
        cut_repeated_lines(text, prefix, suffix),
        cut_token_loops(text, prefix, suffix),
        drop_text_above(text, prefix),
    ):
        assert text.startswith(kept)
