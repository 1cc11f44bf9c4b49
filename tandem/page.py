"""One page that stands alone: no file or address beside it, no script but ours.

Text from outside goes through `esc`. Should that ever be forgotten, the page's own policy names
the one script that may run, by its hash, so that nothing a text brings along is run.
"""

import base64
import hashlib
from html import escape
from pathlib import Path

from tandem import paths
from tandem.errors import TandemError
from tandem.visible import visible

_STYLE = """
:root { color-scheme: light dark; --back: #fff; --text: #1b1f24; --dim: #667; --line: #d5d9e0;
  --a: #2f81c7; --b: #2b9a66; --c: #b7791f; --d: #a0a7b4; --e: #8257c9; --soft: #f3f5f8; }
@media (prefers-color-scheme: dark) { :root { --back: #14171c; --text: #dde2ea; --dim: #98a2b3;
  --line: #333a45; --a: #5aa9e6; --b: #4cc38a; --c: #e0a84c; --d: #5b6472; --e: #a98bdf;
  --soft: #1d222a; } }
body { background: var(--back); color: var(--text); max-width: 70rem; margin: 2rem auto;
  padding: 0 1rem; font: 15px/1.45 system-ui, sans-serif; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
table { border-collapse: collapse; } th { text-align: left; font-weight: 600; }
td, th { padding: .15rem .9rem .15rem 0; vertical-align: top; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
pre { background: var(--soft); padding: .5rem; overflow-x: auto; margin: .3rem 0; }
.dim { color: var(--dim); }
svg { width: 100%; height: auto; font: 12px system-ui, sans-serif; }
svg text { fill: var(--text); } svg .dim { fill: var(--dim); } svg line { stroke: var(--line); }
.a { fill: var(--a); background: var(--a); } .b { fill: var(--b); background: var(--b); }
.c { fill: var(--c); background: var(--c); } .d { fill: var(--d); background: var(--d); }
.e { fill: var(--e); background: var(--e); }
"""


def esc(text: object) -> str:
    """Any text as it may stand in an element or in a quoted attribute."""
    return escape(visible(text), quote=True)


def page(title: str, body: str, style: str = "", script: str = "") -> str:
    """A whole page. `body`, `style` and `script` are ours, with every foreign text escaped."""
    assert "</" not in script + style, "it would end its element"
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    runs = f"'sha256-{digest}'" if script else "'none'"
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src {runs}"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{esc(title)}</title>\n<style>{_STYLE}{style}</style>\n</head>\n<body>\n"
        f"<h1>{esc(title)}</h1>\n{body}\n"
        + (f"<script>{script}</script>\n" if script else "")
        + "</body>\n</html>\n"
    )


def save(text: str, file: Path) -> None:
    """Write a page that only this user may read. Raises TandemError."""
    if file.is_dir():
        raise TandemError(f"{file} is a folder.", "Name a file to write.")
    try:
        with paths.atomic_write(file) as stream:
            stream.write(text)
    except OSError as error:
        raise TandemError(
            f"Cannot write {file}: {error.strerror}.", "Name another file."
        ) from error
