"""A page as a parser reads it and, where one is installed, as a browser shows it."""

import shutil
import subprocess
from collections import Counter
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

VOID = {"meta", "input", "img", "br", "link", "rect", "line"}
BROWSER = shutil.which("chromium") or shutil.which("google-chrome")


@dataclass
class Page:
    """`addresses`: what it would fetch or link to; `handlers`: attributes that are scripts;
    `closed`: every element ends where it should."""

    elements: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    text: str = ""
    titles: list[str] = field(default_factory=list)
    closed: bool = True

    def all(self, name: str) -> list[dict[str, str]]:
        return [attributes for found, attributes in self.elements if found == name]

    def count(self, name: str) -> int:
        return Counter(found for found, _ in self.elements)[name]

    @property
    def addresses(self) -> list[str]:
        names = ("src", "href", "action", "data", "xlink:href")
        return [a[name] for _, a in self.elements for name in names if name in a]

    @property
    def handlers(self) -> list[str]:
        return [name for _, a in self.elements for name in a if name.startswith("on")]


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.page = Page()
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.page.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.page.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        if not self._open or self._open.pop() != tag:
            self.page.closed = False

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] == "title":
            self.page.titles.append(data)
        if not self._open or self._open[-1] not in ("script", "style"):
            self.page.text += data

    def finish(self) -> Page:
        self.close()
        self.page.closed = self.page.closed and not self._open
        return self.page


def read_page(file: Path) -> Page:
    reader = _Reader()
    reader.feed(file.read_text("utf-8"))
    return reader.finish()


def shown_by_browser(file: Path, words: str, folder: Path) -> Page:
    """What a real browser has made of a page, its script included; `words` behind the "#"."""
    assert BROWSER is not None
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    command += [f"--user-data-dir={folder}", "--virtual-time-budget=5000"]
    address = file.as_uri() + (f"#{words}" if words else "")
    done = subprocess.run([*command, address], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    reader = _Reader()
    reader.feed(done.stdout)
    return reader.finish()
