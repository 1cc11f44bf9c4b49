"""Branches off a greedy answer, asked of a server, and the likelier one chosen."""

from collections.abc import Callable
from pathlib import Path

import pytest

from completion import candidates, filters, prompt
from completion.client import Answer, Client, TokenTold
from completion.hole import hole_kind
from completion.indent import Dedent
from completion.reader import Reader
from tests.paced import paced

BEFORE = "value = "
BODY = {"model": "tandem-135m", "prompt": BEFORE, "max_tokens": 16, "temperature": 0}
CLOSE = [
    TokenTold("alpha", -0.8, {"alpha": -0.8, "beta": -0.9}),
    TokenTold("()", -3.0, {"()": -3.0}),
]
FAR = [TokenTold("alpha", -0.1, {"alpha": -0.1, "beta": -4.0}), CLOSE[1]]


def reader() -> Reader:
    hole = hole_kind(BEFORE, len(BEFORE), "python")
    return Reader(
        prompt.Lead(""),
        Dedent(BEFORE, hole),
        filters.StopRule(BEFORE, "", hole, 12),
        lambda text, complete: filters.finish(text, BEFORE, "", hole, complete),
    )


async def best(
    tokens: list[TokenTold],
    continuation: str = "()",
    most: int = 2,
    unknown: Callable[[str], int] = lambda text: 0,
) -> tuple[str, list[str], list[str]]:
    """The text chosen, all texts, and what the server was asked to go on from."""
    read = reader()
    read.feed("alpha()")
    with paced(lambda _: [continuation], nats=(-0.1,)) as server:
        server.open = True
        async with Client(server.url) as client:
            greedy = Answer("stop", tokens=tokens)
            text, told = await candidates.best(
                client, BODY, greedy, read, "alpha()", most, reader, unknown
            )
    return text, [one["text"] for one in told], server.prompts


async def test_the_likelier_of_two_close_calls_is_chosen(empty_home: Path) -> None:
    text, told, asked = await best(CLOSE)
    assert text == "beta()"
    assert told == ["beta()", "alpha()"]
    assert asked == [BEFORE + "beta"]


async def test_without_a_close_call_nothing_more_is_asked(empty_home: Path) -> None:
    text, told, asked = await best(FAR)
    assert (text, told, asked) == ("alpha()", ["alpha()"], [])


async def test_a_branch_that_may_not_be_shown_is_no_candidate(empty_home: Path) -> None:
    text, told, asked = await best(CLOSE, "(<|endoftext|>")
    assert (text, told) == ("alpha()", ["alpha()"])
    assert asked == [BEFORE + "beta"]


async def test_names_that_nobody_knows_count_against_one(empty_home: Path) -> None:
    text, told, _ = await best(CLOSE, unknown=lambda text: 5 * ("beta" in text))
    assert text == "alpha()"
    assert told == ["alpha()", "beta()"]


@pytest.mark.parametrize("most", [1, 2])
async def test_no_more_are_asked_than_are_wanted(empty_home: Path, most: int) -> None:
    _, _, asked = await best(CLOSE, most=most)
    assert len(asked) == most - 1
