"""What is looked at first to find secrets fast misses none that the patterns find."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tandem import secrets

# Pieces of secrets, of what is around them, and of what only looks like them.
PIECES = st.sampled_from(
    [
        *("password", "PassWord", "paſſword", "api_key", "APIKEY", "acceſſKey", "private_key"),
        *("token", "tokenizer", "crEdentıals", "my-secret-name", "secret", "x" * 45, "_", "-"),
        *(" = ", ": str = ", '["', '"]', "=>", ":", "\n", "    ", ", "),
        *("'hunter2XX'", '"hunter2!longer"', "rb'Qw3rTy!9xZ'", "'", '"', "\\'"),
        *("AKIA", "IOSFODNN7EXAMPLQ", "ghp_", "a1" * 20, "sk-", "xoxb-", "glpat-", "hf_", "eyJ"),
        *(".", "https://", "user:", "pw1234@", "host", "-----BEGIN RSA ", "PRIVATE KEY-----"),
        *("é", "—", "İ", "ı", "ſ", "K", "日本", "(", ")", "k_live_", "pypi-", "AIza"),
    ]
)
TEXTS = st.lists(PIECES, max_size=25).map("".join)
IDENTIFIERS = re.compile(rb"[A-Za-z0-9_\x80-\xff]+")


@settings(max_examples=1000, deadline=None)
@given(TEXTS)
def test_assignments_are_those_of_the_pattern_tried_everywhere(text: str) -> None:
    plain = [match.span() for match in secrets._ASSIGNMENT.finditer(text)]
    assert [match.span() for match in secrets._assignments(text)] == plain


@settings(max_examples=1000, deadline=None)
@given(TEXTS)
def test_a_text_whose_words_do_not_tell_holds_no_secret(text: str) -> None:
    words = [word.decode("utf-8", "replace") for word in IDENTIFIERS.findall(text.encode())]
    if not any(map(secrets.tells, words)) and not secrets.may_hold(text):
        assert secrets.find(text) == []


@settings(max_examples=300, deadline=None)
@given(st.lists(TEXTS, max_size=5))
def test_words_tell_together_what_one_of_them_tells(texts: list[str]) -> None:
    words = [
        word.decode("utf-8", "replace")
        for text in texts
        for word in IDENTIFIERS.findall(text.encode())
    ]
    assert secrets.tells(" ".join(words)) == any(map(secrets.tells, words))


@pytest.mark.parametrize(
    "text",
    [
        *("key = 'AKIAIOSFODNN7EXAMPLQ'", "ghp_" + "a1" * 20, "glpat-" + "a1" * 12),
        *("xoxb-1234567890ab", "sk-" + "a1" * 14, "AIza" + "a1B" * 12, "sk_live_" + "a1" * 10),
        *(
            "hf_" + "a1" * 16,
            "pypi-" + "a1" * 25,
            "https://me:pw1234@host/",
            "PASSWORD = 'Qw3r!Ty9'",
        ),
        "-----BEGIN RSA " + "PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\n-----END RSA PRIVATE KEY-----",
        f"eyJ{'a' * 12}.eyJ{'b' * 12}.{'c' * 12}",
    ],
)
def test_each_kind_of_secret_has_its_sign(text: str) -> None:
    words = [word.decode() for word in IDENTIFIERS.findall(text.encode())]
    assert secrets.find(text)
    assert any(map(secrets.tells, words)) or secrets.may_hold(text)


@pytest.mark.parametrize(
    "text",
    [
        "x = 1",
        "def total(circles): return sum(circles)",
        "see https://host/path:80 there",
        "tasks - 1",
    ],
)
def test_plain_code_has_none(text: str) -> None:
    words = [word.decode() for word in IDENTIFIERS.findall(text.encode())]
    assert not any(map(secrets.tells, words))
    assert not secrets.may_hold(text)


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        *((".env", True), (".ENV.local", True), ("id_rsa", True), ("a.PEM", True)),
        *((".env.example", False), ("secrets.py", False), ("secrets.yaml", True)),
        *(("env", False), ("my.env", False), ("credentials", True), ("credentials.py", False)),
        *(("id_rsa.pub", False), ("x\n.pem", True), ("", False)),
    ],
)
def test_secret_files_are_told_by_name(name: str, secret: bool) -> None:
    assert secrets.is_secret_name(name) == secret
