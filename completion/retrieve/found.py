"""What resolvers find, and what they share."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from completion.index import Definition, File

if TYPE_CHECKING:
    from completion.retrieve.resolve import Resolver

CONTAINERS = frozenset(
    {"class", "interface", "struct", "enum", "trait", "object", "type", "record", "module"}
)


@dataclass(frozen=True)
class Found:
    """A definition and how we came to it, for the trace. `guess`: by its name alone."""

    definition: Definition
    via: str
    guess: bool = False


@dataclass
class Shared:
    """What all resolvers of one state of the index know, whatever their file imports: resolvers of
    other files, what a file passes on, what a module's name stands for, what is used most."""

    others: "dict[File, Resolver]" = field(default_factory=dict)
    passed: dict[File, list[Found]] = field(default_factory=dict)
    modules: dict[tuple[str, str, str], list[File]] = field(default_factory=dict)
    ranked: dict[tuple[File, frozenset[tuple[str, int]]], list[Definition]] = field(
        default_factory=dict
    )
