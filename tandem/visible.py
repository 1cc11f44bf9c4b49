"""Text from outside, made fit to be shown: what a terminal or a page would obey is spelled out."""

from rich.text import Text

_OBEYED = {
    code: f"\\u{code:04x}"
    for code in (
        *(n for n in range(0x20) if chr(n) not in "\t\n"),
        *range(0x7F, 0xA0),  # among them the controls of old terminals
        *(0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)),  # turn lines around
        *range(0xD800, 0xE000),  # halves of characters, which nothing can write
    )
}


def visible(text: object) -> str:
    """The text without characters that do something instead of being something."""
    return str(text).translate(_OBEYED)


def printable(text: object, style: str = "") -> Text:
    """The same for a terminal."""
    return Text(visible(text), style=style)
