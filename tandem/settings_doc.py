"""Writes docs/settings.md from the settings themselves: `python -m tandem.settings_doc`.

A test holds the file against this, so that the page cannot fall behind the code.
"""

from pathlib import Path

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from tandem.config import ENV_PREFIX, REPO_FILE, Config

PAGE = Path(__file__).parent.parent / "docs" / "settings.md"

_HEAD = f"""# Settings

<!-- Made by `python -m tandem.settings_doc` from tandem/config.py. Do not edit. -->

Later layers win: defaults, the user's `config.toml` (`tandem doctor` names its folder), the
repository's `{REPO_FILE}`, environment variables, and last the command's flags or the editor's
options (`initializationOptions`, or the section `tandem` of the editor's settings).

A repository's file may only make Tandem do less: switch things off, add disabled languages and
paths, lower limits. Anything else in it counts after `tandem trust {REPO_FILE}`, and again only until
the file changes.

| setting | default | environment | meaning |
|---|---|---|---|
"""


def render() -> str:
    """The whole page."""
    return _HEAD + "\n".join(_rows(Config, "")) + "\n"


def _rows(section: type[BaseModel], prefix: str) -> list[str]:
    rows: list[str] = []
    for name, field in section.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            rows += _rows(kind, f"{prefix}{name}.")
        elif not field.exclude:
            rows.append(_row(f"{prefix}{name}", field))
    return rows


def _row(name: str, field: FieldInfo) -> str:
    default = field.get_default(call_default_factory=True)
    if isinstance(default, SecretStr):
        default = default.get_secret_value()
    shown = f"`{default}`" if default not in ("", [], {}, None) else ""
    variable = ENV_PREFIX + name.upper().replace(".", "__")
    return f"| `{name}` | {shown} | `{variable}` | {field.description} |"


if __name__ == "__main__":
    PAGE.write_text(render(), "utf-8")
