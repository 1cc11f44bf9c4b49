"""A text that is too long for who reads it: its two ends, and between them how much is left out."""


def ends(text: str, most: int, head: float = 1 / 3) -> str:
    """The text, or about `most` characters of it, of which `head` is the share of its beginning.

    Traces and test output say what matters at their end; what people write, at its beginning.
    """
    left = len(text) - most
    if left <= 0:
        return text
    first = int(most * head)
    return f"{text[:first]}\n[{left:,} characters left out]\n{text[first + left :]}"
