"""Branches off the greedy answer: from what a server told, and asked of the real engine."""

from contextlib import aclosing
from typing import Any

import pytest

from completion.branches import TOLD, branches
from completion.client import Answer, Client, TokenTold
from completion.engine.background import Address
from completion.rank import Candidate, order


def token(text: str, logprob: float, **top: float) -> TokenTold:
    return TokenTold(text, logprob, {text: logprob, **top})


TOKENS = [token(" =", -0.1, other=-4.0), token(" a", -0.7, b=-0.9), token("", -0.5, c=-1.2)]


def test_the_closest_call_comes_first_and_goes_another_way() -> None:
    found = branches(" = a", TOKENS, "", 5, margin=1.0)
    assert [branch.text for branch in found] == [" =b", " = ac"]
    assert found[0].logprobs == (-0.1, -0.9)
    assert found[0].margin == pytest.approx(0.2)
    assert not any(branch.complete for branch in found)
    assert len(branches(" = a", TOKENS, "", 1)) == 1


def test_an_end_that_was_close_is_a_complete_answer() -> None:
    early = [token("x", -0.1), TokenTold(" + y", -0.6, {" + y": -0.6, "": -0.8})]
    [branch] = branches("x + y", early, "", 3)
    assert (branch.text, branch.complete, branch.logprobs) == ("x", True, (-0.1, -0.8))


def test_an_end_before_anything_is_no_answer() -> None:
    assert branches("x", [TokenTold("x", -0.6, {"x": -0.6, "": -0.7})], "", 3) == []


def test_a_second_choice_that_is_far_off_is_left() -> None:
    assert branches(" = a", TOKENS, "", 5, margin=0.1) == []


def test_tokens_after_the_answers_end_are_left_alone() -> None:
    assert branches(" =", TOKENS, "", 5) == []


def test_part_of_a_character_is_no_beginning() -> None:
    assert branches("x", [TokenTold("x", -0.7, {"x": -0.7, "\ufffd": -0.8})], "", 3) == []


def test_the_first_token_spells_what_was_healed_and_so_must_its_branch() -> None:
    first = TokenTold("width", -0.4, {"width": -0.4, "window": -0.6, "height": -0.5})
    [branch] = branches("dth", [first], "wi", 3)
    assert branch.text == "ndow"


def test_a_server_that_tells_nothing_gives_no_branch() -> None:
    assert branches("x", [], "", 3) == []
    assert branches("x", [TokenTold("x", -0.1, {})], "", 3) == []


def test_a_branch_goes_on_from_the_whole_text() -> None:
    greedy = {"prompt": "p ", "heal": "he", "max_tokens": 5, "logprobs": 3, "tandem": {"a": 1}}
    [branch] = branches("x", [TokenTold("hex", -0.7, {"hex": -0.7, "hey": -0.9})], "he", 1)
    body = branch.body(greedy)
    assert body == {"prompt": "p hey", "max_tokens": 5, "logprobs": 0}


async def ask(client: Client, body: dict[str, Any]) -> tuple[str, Answer]:
    answer = Answer()
    async with aclosing(client.complete(body, answer)) as pieces:
        return "".join([piece async for piece in pieces]), answer


BODY = {"prompt": "def area(width, height):\n    return", "heal": " wi", "max_tokens": 12}


async def test_asking_for_what_tokens_cost_changes_no_greedy_answer(engine: Address) -> None:
    async with Client(engine.url, engine.token) as client:
        plain, silent = await ask(client, BODY | {"temperature": 0})
        told, answer = await ask(client, BODY | {"temperature": 0, "logprobs": TOLD})
    assert told == plain
    assert silent.tokens == []
    spelled = "".join(one.text for one in answer.tokens)
    assert spelled.endswith(told)
    assert all(len(one.top) <= TOLD and one.logprob <= 0 for one in answer.tokens)


async def test_a_branch_of_the_real_model_is_another_answer(engine: Address) -> None:
    greedy = BODY | {"temperature": 0, "logprobs": TOLD}
    async with Client(engine.url, engine.token) as client:
        text, answer = await ask(client, greedy)
        found = branches(text, answer.tokens, BODY["heal"], 2, margin=20.0)
        assert len(found) == 2
        candidates = [Candidate(text, tuple(one.logprob for one in answer.tokens))]
        for branch in found:
            rest, told = (
                ("", Answer()) if branch.complete else await ask(client, branch.body(greedy))
            )
            logprobs = (*branch.logprobs, *(one.logprob for one in told.tokens))
            candidates.append(Candidate(branch.text + rest, logprobs))
    assert len({one.text for one in candidates}) == 3
    ranked = order(candidates)
    assert ranked[0].score == max(sum(one.logprobs) for one in candidates)
