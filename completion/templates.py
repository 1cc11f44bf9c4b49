"""FIM templates by model family, as data: templates.toml.

A file may hold a sentinel's very text (this repository does). If that reached the tokenizer it
would become structure, and a file could forge the prompt. So a sentinel inside a prefix or a
suffix is broken by a space after its first character: `[SUFFIX]` becomes `[ SUFFIX]`.
"""

import functools
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from completion.hole import Kind
from tandem.errors import ConfigError

PLAIN = "plain"
FORMAT = 1
_FILE = Path(__file__).with_name("templates.toml")
_PLACES = re.compile(r"\{(prefix|suffix|snippets|path|kind|text)\}")


@dataclass(frozen=True)
class Snippet:
    """A piece of another file that may help; `path` is relative to the repository."""

    path: str
    text: str


@dataclass(frozen=True)
class Template:
    """How one family wants prefix and suffix laid out.

    `text` places {prefix} and {suffix}, and may place {snippets} of other files, each laid out
    as `snippet`, the file's own {path}, laid out as `path`, and what the cursor waits for, as a
    sentinel of `kinds`. A family that wants another layout where there are snippets has it in
    `text_with_snippets`. `sentinels` are the special tokens that these hold, `specials` the
    family's others that a prompt must not hold. A text of `stop` ends the answer. The begin
    token, where a family has one, is the server's to add. `models` are regular expressions,
    searched in the names of models.
    """

    name: str
    text: str
    sentinels: tuple[str, ...]
    specials: tuple[str, ...]
    stop: tuple[str, ...]
    models: tuple[str, ...]
    source: str
    text_with_snippets: str = ""
    snippet: str = ""
    path: str = ""
    kinds: Mapping[str, str] = field(default_factory=dict)

    @property
    def uses_suffix(self) -> bool:
        return "{suffix}" in self.text

    @property
    def uses_snippets(self) -> bool:
        return "{snippets}" in self.text + self.text_with_snippets

    def render(
        self,
        prefix: str,
        suffix: str,
        kind: Kind = "statement",
        path: str = "",
        snippets: Sequence[Snippet] = (),
    ) -> str:
        """The prompt; sentinels inside what comes from files are broken.

        What the family's template has no place for is left out.
        """
        parts = {
            "prefix": self.neutralise(prefix),
            "suffix": self.neutralise(suffix),
            "kind": self._waits_for(kind, suffix),
            "path": self.render_path(path, bool(snippets)),
            "snippets": "".join(map(self.render_snippet, snippets)),
        }
        return _filled(self._layout(bool(snippets)), parts)

    def _layout(self, snippets: bool) -> str:
        return (snippets and self.text_with_snippets) or self.text

    def _waits_for(self, kind: Kind, suffix: str) -> str:
        """What the cursor waits for, as a sentinel.

        Where text follows on its line the answer ends in that line nearly always, which a model
        that read the suffix long before would have to look up.
        """
        inline = self.kinds.get("inline", "")
        follows = suffix.partition("\n")[0].strip()
        return inline if inline and follows else self.kinds.get(kind, "")

    def render_snippet(self, snippet: Snippet) -> str:
        path, text = self.neutralise(snippet.path), self.neutralise(snippet.text)
        return _filled(self.snippet, {"path": path, "text": text})

    def render_path(self, path: str, snippets: bool = False) -> str:
        """The file's path as it stands in a prompt, with snippets or without."""
        wanted = path and "{path}" in self._layout(snippets)
        return _filled(self.path, {"path": self.neutralise(path)}) if wanted else ""

    def neutralise(self, content: str) -> str:
        """Content without any of the family's special tokens; else unchanged.

        The space can create none, as no special token holds a space; it is repeated because
        breaking one may leave another that overlapped it.
        """
        words = (*self.sentinels, *self.specials)
        if not words:
            return content
        pattern = _any_of(words)
        while pattern.search(content):
            content = pattern.sub(lambda found: f"{found[0][0]} {found[0][1:]}", content)
        return content


@functools.lru_cache(maxsize=32)
def _any_of(words: tuple[str, ...]) -> re.Pattern[str]:
    """The longest first."""
    return re.compile("|".join(map(re.escape, sorted(words, key=len, reverse=True))))


def _filled(layout: str, parts: Mapping[str, str]) -> str:
    return _PLACES.sub(lambda place: parts[place[1]], layout)


def for_model(name: str, override: str = "") -> Template:
    """The template that fits a model's name, or `override` by its own name.

    An unknown model gets `plain`: a wrong sentinel does more harm than a missing suffix.
    Raises ConfigError for an unknown override.
    """
    rows = templates()
    if override:
        if override not in rows:
            raise ConfigError(f"There is no FIM template '{override}'.", f"Use: {', '.join(rows)}.")
        return rows[override]
    for template in rows.values():
        if any(re.search(pattern, name, re.IGNORECASE) for pattern in template.models):
            return template
    return rows[PLAIN]


@functools.cache
def templates() -> dict[str, Template]:
    """All templates by name, in the file's order, which is the order they are tried in."""
    data = tomllib.loads(_FILE.read_text("utf-8"))
    assert data["v"] == FORMAT
    rows = [_template(row) for row in data["template"]]
    return {row.name: row for row in rows}


def _template(row: dict) -> Template:
    template = Template(
        name=row["name"],
        text=row["text"],
        sentinels=tuple(row["sentinels"]),
        specials=tuple(row["specials"]),
        stop=tuple(row["stop"]),
        models=tuple(row["models"]),
        source=row["source"],
        text_with_snippets=row.get("text_with_snippets", ""),
        snippet=row.get("snippet", ""),
        path=row.get("path", ""),
        kinds=row.get("kinds", {}),
    )
    words = (*template.sentinels, *template.specials)
    layout = "".join((template.text, template.snippet, template.path, *template.kinds.values()))
    assert all(len(word) > 1 and not re.search(r"\s", word) for word in words), template.name
    assert all(layout.count(word) == 1 for word in template.sentinels), template.name
    many = template.text_with_snippets
    assert not many or {"{snippets}", "{prefix}", "{suffix}"} <= {
        place[0] for place in _PLACES.finditer(many)
    }, template.name
    return template
