"""The next place that a change implies, and its edit.

`NextEdits` is told of every change and asked for what follows; `filled` puts a value where one is
missing.
"""

from completion.next_edit.follow import Asked, NextEdits
from completion.next_edit.proposal import Fill, NextEdit, filled

__all__ = ["Asked", "Fill", "NextEdit", "NextEdits", "filled"]
