"""The way from a tree's root to a leaf, and what a name is by where it stands on it."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from tree_sitter import Node


class Step(NamedTuple):
    """`field`: what the node is to its parent, "" where the grammar does not say."""

    node: Node
    field: str


Path = tuple[Step, ...]


@dataclass(frozen=True)
class Role:
    """What a name is where it stands.

    `kind`: a "definition" of the scope, a "use", a "member" of an object, a "label" (the name of
    an argument at a call), "other" for what names something elsewhere, "unsure". `what`: kind of
    definition. `form`: how an edit writes it where the name alone is not enough, "" else.
    `since`: the byte from which a definition is visible. `sequential`: a later definition in the
    same scope is another variable.
    """

    kind: Literal["definition", "use", "member", "label", "other", "unsure"]
    scope: Node | None = None
    what: str = ""
    form: str = ""
    since: int = 0
    sequential: bool = False


USE, MEMBER, LABEL, OTHER, UNSURE = (
    Role("use"),
    Role("member"),
    Role("label"),
    Role("other"),
    Role("unsure"),
)


def path_to(root: Node, byte: int) -> Path:
    """From the root to the leaf that this byte is in."""
    cursor = root.walk()
    steps = [Step(root, "")]
    while cursor.goto_first_child_for_byte(byte) is not None:
        node = cursor.node
        assert node is not None
        if node.start_byte > byte:  # space before it
            break
        steps.append(Step(node, cursor.field_name or ""))
    return tuple(steps)
