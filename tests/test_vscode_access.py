"""Without a mouse, with a screen reader, in high contrast: our parts of a real VS Code."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, expect

from tests.lsp_client import REPOSITORY
from tests.recorder import recording
from tests.scripted_chat import says, scripted
from tests.vscode import browser, package, vscode, window, work, workbench  # noqa: F401
from tests.workbench import EDITOR, QUICK_INPUT, Workbench

pytestmark = pytest.mark.editors

CODE = "def price(item, count):\n    return item * count\n"
OFF = {"completion": {"enabled": False}}
LEAST_CONTRAST = 4.5  # WCAG 2.1, 1.4.3 AA
COLOURS = """element => {
  let behind = element
  const colour = node => getComputedStyle(node).backgroundColor
  while (behind && /, 0\\)$|^transparent$/.test(colour(behind))) behind = behind.parentElement
  return [getComputedStyle(element).color, behind ? colour(behind) : 'rgb(0, 0, 0)']
}"""
MARKS = """selector => [...document.querySelectorAll(`${selector} .view-lines span`)]
  .map(span => getComputedStyle(span, '::after').content).filter(text => text.includes('→'))"""
Open = Callable[..., Workbench]


@pytest.fixture
def opened(bare_home: Path, work: Path, workbench: Workbench) -> Open:  # noqa: F811
    file = work / "work.py"
    file.write_text(CODE)

    def start(**settings: Any) -> Workbench:
        workbench.open(file, bare_home, **settings)
        workbench.tells("Suggestions are")
        return workbench

    return start


def in_palette() -> list[str]:
    """Titles of our commands that are always offered, as the extension's manifest has them."""
    manifest = json.loads((REPOSITORY / "editors" / "vscode" / "package.json").read_text())
    told = manifest["contributes"]
    only = {item["command"] for item in told["menus"]["commandPalette"]}
    return [item["title"] for item in told["commands"] if item["command"] not in only]


def test_every_command_is_in_the_palette(opened: Open) -> None:
    one = opened(**OFF)
    titles = in_palette()
    assert len(titles) >= 18
    one.press("F1")
    for title in titles:
        one.page.locator(QUICK_INPUT).fill(f">Tandem: {title}")
        row = one.page.locator(".quick-input-list .monaco-list-row .label-name")
        expect(row.filter(has_text=re.compile(rf"^Tandem: {re.escape(title)}$"))).to_be_visible()


def test_suggestions_are_switched_off_and_on_by_keys_alone(opened: Open) -> None:
    one = opened()
    for choice, told in (("Disable everywhere", "Tandem off"), ("Enable everywhere", "are on")):
        one.run("Menu")
        row = one.page.locator(".quick-input-list .monaco-list-row").filter(has_text=choice)
        row.wait_for()
        one.picture("menu")
        one.answer(choice)
        one.tells(told)


def test_the_status_says_the_reason_of_a_silence_to_a_screen_reader(opened: Open) -> None:
    with recording({"id": "given"}) as model:
        one = opened(endpoint=model.url, completion={"in_comments": False})
        one.served()
        one.go_to(2, 1)
        one.type("    # a ")
        one.tells("nothing: in a comment")


def test_the_panel_is_read_by_a_screen_reader(opened: Open) -> None:
    with scripted(says("It multiplies.", hang_s=2.0)) as server:
        one = opened(chat={"endpoint": server.url}, **OFF)
        one.run("Explain")
        panel = one.panel()
        answer = panel.get_by_role("main", name="Answer")
        expect(answer).to_have_attribute("aria-busy", "true")
        expect(panel.get_by_role("status")).to_have_text("Answering…")
        expect(panel.get_by_role("button", name="Stop")).to_be_visible()
        expect(panel.get_by_role("textbox", name="Ask on")).to_be_visible()
        one.answered("It multiplies.")
        expect(answer).to_have_attribute("aria-busy", "false")
        expect(panel.get_by_role("status")).to_have_text("The answer is complete.")


def test_in_high_contrast_everything_of_ours_can_be_read(opened: Open) -> None:
    with (
        recording({"id": "given"}, answer="item + count\n") as model,
        scripted(says("It multiplies `item`.")) as server,
    ):
        theme = {"workbench.colorTheme": "Default High Contrast"}
        one = opened(endpoint=model.url, chat={"endpoint": server.url}, **theme)
        one.served()
        one.page.locator(".monaco-workbench.hc-black").wait_for()
        one.run("Explain")
        one.answered("It multiplies item.")
        one.focus()
        one.go_to(2, 24)
        one.type("\nreturn ")
        one.sees_ghost("item + count")
        one.picture("high-contrast")
        panel = one.panel()
        for part in (
            one.page.locator(f"{EDITOR} [class*=ghost-text-decoration]").first,
            one.status().locator("a"),
            panel.locator("#title"),
            panel.locator("#answer p").first,
            panel.locator("#answer code").first,
            panel.locator("#told"),
            panel.get_by_role("button", name="Copy"),
        ):
            assert contrast(part) >= LEAST_CONTRAST, part


def test_the_next_edit_is_marked_then_one_key_goes_there_and_makes_it(opened: Open) -> None:
    one = opened()
    one.go_to(1, 22)
    one.press(*["Backspace"] * 5)
    one.type("number")
    one.until(lambda: one.page.evaluate(MARKS, EDITOR), "the mark of the next place")
    one.picture("next-edit")
    one.press("Alt+Enter")
    one.page.locator("footer").get_by_text("Ln 2,").wait_for()
    one.press("Alt+Enter")
    one.sees("return item * number")
    assert one.saved() == CODE.replace("count", "number")


def contrast(part: Locator) -> float:
    """Of a text and what is behind it, from 1 to 21."""
    lighter, darker = sorted(map(luminance, part.evaluate(COLOURS)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    """Relative luminance of `rgb(r, g, b)`, as WCAG 2.1 defines it."""
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in (int(found) / 255 for found in re.findall(r"\d+", colour)[:3])
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
