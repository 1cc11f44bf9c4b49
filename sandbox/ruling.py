"""What a rule says of something that an agent wants to do: it may, a person is asked, or never."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Self


class Answer(IntEnum):
    """The later ones win."""

    ALLOW = 0
    ASK = 1
    REFUSE = 2


@dataclass(frozen=True)
class Ruling:
    """The strictest answer of all rules, with the reasons of those that gave it, for people.

    `is_free`: the user's settings name this very thing as one that needs no question.
    """

    answer: Answer = Answer.ALLOW
    reasons: tuple[str, ...] = ()
    is_free: bool = False

    @classmethod
    def of(cls, asks: Iterable[str], refusals: Iterable[str], is_free: bool = False) -> Self:
        """From the reasons to ask and the reasons to refuse, each told once."""
        refused, asked = tuple(dict.fromkeys(refusals)), tuple(dict.fromkeys(asks))
        if refused:
            return cls(Answer.REFUSE, refused)
        if asked:
            return cls(Answer.ASK, asked)
        return cls(is_free=is_free)
