"""Keys, tokens and passwords in text: find them, and take them out.

Used before any text reaches a model or a log. Each rule names the kind of secret, so that a
person can see what was taken out and why.
"""

import fnmatch
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import PurePath

REDACTED = "REDACTED"

_SECRET_FILES = (
    ".env",
    ".env.*",
    ".envrc",
    "*.pem",
    "*.key",
    "*.p12",
    "*.pfx",
    "*.keystore",
    "*.jks",
    "*.kdbx",
    "id_rsa",
    "id_dsa",
    "id_ecdsa",
    "id_ed25519",
    ".netrc",
    ".pgpass",
    ".npmrc",
    ".pypirc",
    ".htpasswd",
    "credentials",
    "credentials.json",
    "secrets.*",
)
_HARMLESS_FILES = (".env.example", ".env.sample", ".env.template", "secrets.py")
_SECRET_FILE = re.compile("|".join(map(fnmatch.translate, _SECRET_FILES)))

# Quantifiers are bounded: the text may be one line of 100,000 characters.
# Each pattern's last group is the secret itself; what stands before it (a name, a quote) stays.
# Before it: the signs of which any match holds one. A text is searched for those first, since
# that is a hundred times faster, and hardly any text has them.
_ADDRESS = re.compile(r"://(?<=[a-z0-9+.\-]://)[^\s:/@\"']{1,100}:([^\s@/\"']{3,200})@")
# A token's character. Five dashes begin the next key's header, which no token may swallow.
_DASHED = r"(?:[A-Za-z0-9_]|-(?!----))"
_RULES: tuple[tuple[str, tuple[str, ...], re.Pattern[str]], ...] = (
    (
        "private key",
        ("-----BEGIN",),
        re.compile(
            # Also inside a string literal, with its quotes and escaped line ends.
            r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
            r"\s*((?:(?!-----(?:BEGIN|END))[A-Za-z0-9+/=\s:,.\-\\\"']){1,20000}?)(?=-----END|\Z)"
        ),
    ),
    (
        "aws key",
        ("AKIA", "ASIA", "ABIA", "ACCA"),
        re.compile(r"\b((?:AKIA|ASIA|ABIA|ACCA)[0-9A-Z]{16})\b"),
    ),
    (
        "github token",
        ("ghp_", "gho_", "ghu_", "ghr_", "ghs_", "github_pat_"),
        re.compile(r"\b((?:gh[pousr]_[A-Za-z0-9]{36,})|github_pat_\w{40,})"),
    ),
    ("gitlab token", ("glpat-",), re.compile(rf"\b(glpat-{_DASHED}{{20,}})")),
    ("slack token", ("xox",), re.compile(rf"\b(xox[abeoprs]-{_DASHED}{{10,}})")),
    ("openai key", ("sk-",), re.compile(rf"\b(sk-(?=[A-Za-z_\-]{{0,60}}\d){_DASHED}{{20,}})")),
    ("google key", ("AIza",), re.compile(rf"\b(AIza{_DASHED}{{35}})")),
    (
        "stripe key",
        ("k_live_", "k_test_"),
        re.compile(r"\b([rs]k_(?:live|test)_[0-9A-Za-z]{16,})"),
    ),
    ("hugging face token", ("hf_",), re.compile(r"\b(hf_[A-Za-z0-9]{30,})")),
    ("pypi token", ("pypi-",), re.compile(rf"\b(pypi-{_DASHED}{{40,}})")),
    (
        "json web token",
        ("eyJ",),
        re.compile(rf"\b(eyJ[\w\-]{{10,4000}}\.eyJ[\w\-]{{10,4000}}\.{_DASHED}{{10,}})"),
    ),
    ("password in an address", ("://",), _ADDRESS),
)
# A name that tells, maybe a subscript's end or a type, then a string literal of any prefix.
_ASSIGNMENT = re.compile(
    r"""(?ix) \b [\w\-]{0,40}? (?: passw(?:or)?d | passphrase | secret | token | api_?key | apikey
        | access_?key | auth_?key | private_?key | credential s? ) [\w\-]{0,40}
        ["']? \]? (?: \s{0,8} : \s{0,8} [\w\[\].,|\x20]{1,60}? )? \s{0,8} (?: == | != | = | : | := | => )
        \s{0,8} [bruf]{0,2} (?P<quote>["']) (?P<value> (?: (?!(?P=quote)) [^\s\\] | \\. ){8,200} )
        (?P=quote)"""
)
_TELLING = (
    *("passw", "passphrase", "secret", "token", "credential", "apikey", "api_key", "accesskey"),
    *("access_key", "authkey", "auth_key", "privatekey", "private_key"),
)
# The signs of tokens that lie within a word, and the others.
_SIGNS = [sign for _, signs, _ in _RULES for sign in signs if sign != "://"]
_WORDS = tuple(sign for sign in _SIGNS if sign.isidentifier())
_MARKS = tuple(sign for sign in _SIGNS if not sign.isidentifier())
_LONGEST_PREFIX = 40  # characters of a name before what tells
_EDGE = re.compile(r"\b")
_PLACEHOLDER = re.compile(
    r"(?i)^(x+|\*+|\.+|<.*>|\$\{.*\}|\{.*\}|%\(.*\)s|your[_\-].*|change[_\-]?me.*|example.*|"
    r"placeholder.*|redacted|none|null|true|false)$"
)


@dataclass(frozen=True)
class Secret:
    """One secret found in a text: its kind and where it is, as character offsets."""

    kind: str
    start: int
    end: int


def is_secret_file(path: PurePath) -> bool:
    """Whether a file's name alone says that its content must never be read for a model."""
    return is_secret_name(path.name)


def is_secret_name(name: str) -> bool:
    """The same of a name without its folder, faster: a scan asks for each of 100,000."""
    name = name.lower()
    return _SECRET_FILE.match(name) is not None and name not in _HARMLESS_FILES


def tells(words: str) -> bool:
    """Whether any of these runs of letters, digits and _ may be part of a secret, or its name."""
    lower = _lowered(words)
    return any(sign in words for sign in _WORDS) or any(sign in lower for sign in _TELLING)


def may_hold(text: str) -> bool:
    """Whether a text whose words do not tell may hold a secret all the same. Where neither says
    so `find` finds nothing; it takes a fifth of the time where the words are known already."""
    return any(sign in text for sign in _MARKS) or _ADDRESS.search(text) is not None


def find(text: str) -> list[Secret]:
    """The secrets in a text, in order, without overlaps."""
    found = [
        Secret(kind, match.start(match.lastindex or 0), match.end(match.lastindex or 0))
        for kind, signs, pattern in _RULES
        if any(sign in text for sign in signs)
        for match in pattern.finditer(text)
    ]
    found += [
        Secret("assigned secret", *match.span("value"))
        for match in _assignments(text)
        if _looks_random(match["value"])
    ]
    result: list[Secret] = []
    for secret in sorted(found, key=lambda s: (s.start, -s.end)):
        if not result or secret.start >= result[-1].end:
            result.append(secret)
        elif secret.end > result[-1].end:  # no end of one may stick out of another
            result[-1] = replace(result[-1], end=secret.end)
    return result


def redact(text: str) -> str:
    """The text with each secret replaced by one word."""
    # What stands in a token's place may make a cut-off private key of the text around it.
    while (clean := without(text, find(text))) != text:
        text = clean
    return clean


def without(text: str, found: Iterable[Secret], start: int = 0) -> str:
    """The text with these secrets in it, in order, replaced by one word.

    `start` is where the text begins in the longer one that they were found in.
    """
    pieces, last = [], 0
    for secret in found:
        pieces += [text[last : secret.start - start], REDACTED]
        last = secret.end - start
    return "".join([*pieces, text[last:]])


def _assignments(text: str) -> Iterator[re.Match[str]]:
    """What `_ASSIGNMENT.finditer` finds: tried only where a name that tells is near."""
    lower = _lowered(text)
    words = [word for word in _TELLING if word in lower]
    done = 0
    for hit in re.finditer("|".join(words), lower) if words else ():
        for edge in _EDGE.finditer(text, max(done, hit.start() - _LONGEST_PREFIX), hit.end()):
            match = _ASSIGNMENT.match(text, edge.start()) if edge.start() >= done else None
            if match:
                yield match
                done = match.end()
        done = max(done, hit.end())


def _lowered(text: str) -> str:
    """As long as the text; i and s are also what ignoring case takes for them."""
    if not text.isascii():
        text = text.replace("İ", "i").replace("ı", "i").replace("ſ", "s")
    return text.lower()


def _looks_random(value: str) -> bool:
    """Tell a generated or chosen password from a name such as `user_password_field`."""
    if _PLACEHOLDER.match(value):
        return False
    counts = Counter(value)
    entropy = -sum(n / len(value) * math.log2(n / len(value)) for n in counts.values())
    classes = sum(
        bool(re.search(pattern, value)) for pattern in (r"[a-z]", r"[A-Z]", r"\d", r"[^\w\s.]")
    )
    return classes >= 3 or (classes == 2 and entropy >= 3.0 and bool(re.search(r"\d", value)))
