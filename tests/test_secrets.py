"""Secrets are found and taken out; ordinary code is left alone; no text takes long."""

import itertools
from pathlib import PurePath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tandem import secrets

# Put together here, so that this file holds nothing that looks like a real one.
LONG = "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7" * 2
KNOWN = [
    ("aws key", "AKIA" + "ABCDEFGHIJ234567"),
    ("github token", "ghp_" + LONG[:36]),
    ("github token", "github_pat_" + LONG[:50]),
    ("gitlab token", "glpat-" + LONG[:20]),
    ("slack token", "xoxb-" + "123456789012-abcdef"),
    ("openai key", "sk-" + LONG[:48]),
    ("openai key", "sk-proj-" + LONG[:40]),
    ("google key", "AIza" + LONG[:35]),
    ("stripe key", "sk_live_" + LONG[:24]),
    ("hugging face token", "hf_" + LONG[:34]),
    ("pypi token", "pypi-" + LONG),
    ("json web token", f"eyJ{LONG[:20]}.eyJ{LONG[:20]}.{LONG[:20]}"),
]
VALUE = "hX7!" + "kq92Lm_zT"
PEM = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC"
BEGIN, END = "-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----"


@pytest.mark.parametrize(("kind", "secret"), KNOWN, ids=lambda value: value[:12])
@pytest.mark.parametrize("frame", ["{}", 'x = "{}"', "# see {} for it", "f({})", "a={}\nb"])
def test_a_known_kind_is_found_wherever_it_stands(kind: str, secret: str, frame: str) -> None:
    text = frame.format(secret)
    assert kind in [found.kind for found in secrets.find(text)]
    assert secrets.redact(text) == frame.format(secrets.REDACTED)


@pytest.mark.parametrize(
    "text",
    [
        'password = "{}"',
        "DB_PASSWORD='{}'",
        'password: str = "{}"',
        'token: str | None = "{}"',
        'SECRET_KEY = b"{}"',
        'secret = r"{}"',
        'config["api_key"] = "{}"',
        '{{"password": "{}"}}',
        "{{'auth_key': '{}'}}",
        'connect(user="x", password="{}")',
        'if password == "{}":',
        "accessKey => '{}'",
        'apikey := "{}"',
        '"clientSecret" : "{}",',
    ],
)
def test_an_assigned_password_is_taken_out_and_the_rest_stays(text: str) -> None:
    assert secrets.redact(text.format(VALUE)) == text.format(secrets.REDACTED)


@pytest.mark.parametrize("value", ["aB3'dE6gH9", r"aB3\"dE6gH9"])
def test_a_password_may_hold_the_other_quote_or_an_escaped_one(value: str) -> None:
    assert secrets.redact(f'password = "{value}"') == 'password = "REDACTED"'


@pytest.mark.parametrize(
    "body",
    [
        f"\n{PEM}\n{PEM}==\n",
        f"\\n{PEM}\\n{PEM}==\\n",
        f'\\n"\n    "{PEM}\\n"\n    "{PEM}\\n',
        f"\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,0123ABCD\n\n{PEM}\n",
    ],
    ids=["file", "json", "literals", "encrypted"],
)
@pytest.mark.parametrize("end", [END, ""], ids=["whole", "cut off"])
def test_a_private_key_is_taken_out(body: str, end: str) -> None:
    clean = secrets.redact(f"before {BEGIN}{body}{end}")
    assert clean.startswith("before ")
    assert PEM not in clean
    assert clean.endswith(end)


def test_a_pgp_key_block_is_taken_out() -> None:
    text = f"-----BEGIN PGP PRIVATE KEY BLOCK-----\nVersion: 2.4\n\n{PEM}\n-----END PGP"
    assert PEM not in secrets.redact(text)


def test_code_that_only_names_a_key_s_head_is_left_alone() -> None:
    text = f'if text.startswith("{BEGIN}"):\n    return load(text)\n'
    assert secrets.redact(text) == text


def test_a_password_in_an_address_is_taken_out_and_the_address_stays() -> None:
    text = "postgres://user:" + "pa55word@db.example.org:5432/x"
    assert secrets.redact(text) == "postgres://user:REDACTED@db.example.org:5432/x"


@pytest.mark.parametrize(
    "text",
    [
        'password = getpass("Password: ")',
        'password = "user_password_field"',
        'TOKEN_NAME = "access_token"',
        'password = "changeme"',
        'password = "<your password>"',
        'api_key = "your-api-key-here"',
        'token = "${TOKEN}"',
        "token = tokens[position + 1]",
        'secret = os.environ["APP_SECRET"]',
        "from sk-learn-contrib-something-without-digits import x",
        "https://example.org:8080/path@2x",
        "def tokenize(self, token: str) -> list[str]:",
        'assert token.kind == "identifier"',
    ],
)
def test_ordinary_code_is_left_alone(text: str) -> None:
    assert secrets.redact(text) == text


def test_where_two_rules_overlap_nothing_sticks_out() -> None:
    text = f'url_token = "https://u:{KNOWN[0][1]}/{KNOWN[1][1]}@h"'
    clean = secrets.redact(text)
    assert KNOWN[0][1] not in clean
    assert KNOWN[1][1] not in clean


def test_a_token_does_not_swallow_the_header_of_the_key_after_it() -> None:
    text = BEGIN + dict(KNOWN)["gitlab token"] + BEGIN
    once = secrets.redact(text)
    assert once == BEGIN + "REDACTED" + BEGIN
    assert secrets.redact(once) == once


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.sampled_from([s for _, s in KNOWN] + [VALUE, BEGIN, END, PEM, "password = ", '"', "'"])
        | st.text(max_size=6),
        max_size=8,
    ).map("".join)
)
def test_redacting_twice_changes_nothing_and_spans_are_ordered(text: str) -> None:
    once = secrets.redact(text)
    assert secrets.redact(once) == once
    found = secrets.find(text)
    assert all(a.end <= b.start for a, b in itertools.pairwise(found))
    assert all(0 <= secret.start < secret.end <= len(text) for secret in found)


@pytest.mark.parametrize(
    "piece",
    [
        "eyJ-",
        "eyJabcdefghijk.eyJ",
        "token-",
        "password ",
        'password = "',
        "password: a|b|c ",
        f"{BEGIN}A",
        f"{BEGIN}(",
        "a://b:",
        "-----BEGIN A",
        "sk-",
        "\\",
    ],
)
@pytest.mark.timeout(60)
def test_a_long_hostile_line_does_not_hang(piece: str) -> None:
    """A rule that is quadratic in the text would need minutes for this."""
    secrets.find(piece * (150_000 // len(piece)))


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        (".env", True),
        (".env.local", True),
        (".ENV", True),
        (".env.example", False),
        ("id_rsa", True),
        ("id_rsa.pub", False),
        ("server.pem", True),
        ("credentials", True),
        ("credentials.json", True),
        ("secrets.yaml", True),
        ("secrets.py", False),
        ("main.py", False),
        ("environment.py", False),
        ("keys.py", False),
    ],
)
def test_secret_files_are_known_by_name(name: str, secret: bool) -> None:
    assert secrets.is_secret_file(PurePath("some/folder") / name) is secret
