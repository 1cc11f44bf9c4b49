"""The ghost text on an editor's screen, and whether an answer changes it."""


class Display:
    """What stands there now; "" for nothing."""

    def __init__(self) -> None:
        self.text = ""

    def typed(self, text: str) -> None:
        """What is typed as it was suggested leaves the rest; anything else clears the screen."""
        follows = bool(text) and self.text.startswith(text)
        self.text = self.text[len(text) :] if follows else ""

    def show(self, text: str) -> bool:
        """An answer has come; true if it suggests something else than what stood there."""
        known = self.text and text and (text.startswith(self.text) or self.text.startswith(text))
        self.text = text
        return bool(text) and not known
