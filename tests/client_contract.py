"""What our clients rely on, of every server that may answer them: one suite, inherited by the tests
of the embedded engine, the gateway and vLLM, each with a fixture `served` of its own."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from completion.chat import Chat
from completion.client import Answer, Client
from completion.engine.background import Address
from completion.messages import Message
from tandem.errors import EngineError
from tests.wire import wait_until

CODE = "import os\n\n\ndef names(folder, suffix):\n    found = []\n    for name in os.listdir(folder):\n"
OTHER = 'class Point:\n    """In a plane: ünïcödé, 日本, 🙂."""\n\n    def __init__(self, x, y):\n'


@dataclass(frozen=True)
class Served:
    """`running` counts its requests under way."""

    address: Address
    model: str
    running: Callable[[], float]


async def asked(
    address: Address, model: str, prompt: str | list[int], most: int = 12, **fields: Any
) -> tuple[list[str], Answer]:
    """The pieces of an answer, greedy unless told otherwise, of `most` tokens at most."""
    answer = Answer()
    body = {"model": model, "prompt": prompt, "max_tokens": most, "temperature": 0}
    async with Client(address.url, address.token, timeout=600) as client:
        pieces = [piece async for piece in client.complete(body | fields, answer)]
    return pieces, answer


async def ask(
    served: Served, prompt: str | list[int], most: int = 12, **fields: Any
) -> tuple[list[str], Answer]:
    return await asked(served.address, served.model, prompt, most, **fields)


class ClientContract:
    """Tests. A subclass whose name begins with Test runs them."""

    async def test_it_lists_its_model(self, served: Served) -> None:
        async with Client(served.address.url, served.address.token) as client:
            rows = {row.id: row for row in await client.models()}
        assert served.model in rows
        assert not rows[served.model].parent

    @pytest.mark.parametrize("prompt", [CODE, OTHER])
    async def test_greedy_text_is_the_same_again_and_comes_in_pieces(
        self, served: Served, prompt: str
    ) -> None:
        pieces, answer = await ask(served, prompt, ignore_eos=True)
        assert len(pieces) > 1
        assert answer.finish == "length"
        assert answer.usage["completion_tokens"] == 12
        again, second = await ask(served, prompt, ignore_eos=True)
        assert "".join(again) == "".join(pieces)
        assert second.usage["prompt_tokens"] == answer.usage["prompt_tokens"] > 12

    async def test_what_was_read_before_is_not_read_again(self, served: Served) -> None:
        long = "# only here\n" + CODE * 2
        await ask(served, long)
        _, answer = await ask(served, long)
        cached = answer.usage["prompt_tokens_details"]["cached_tokens"]
        assert cached >= answer.usage["prompt_tokens"] - 64
        assert cached > 0

    async def test_a_stop_text_ends_it_and_is_not_in_it(self, served: Served) -> None:
        free = "".join((await ask(served, CODE, 16, ignore_eos=True))[0])
        stop = next(free[n : n + 3] for n in range(4, len(free)) if free.find(free[n : n + 3]) == n)
        pieces, answer = await ask(served, CODE, 16, ignore_eos=True, stop=[stop])
        assert "".join(pieces) == free[: free.index(stop)]
        assert answer.finish == "stop"

    async def test_log_probabilities_spell_the_text(self, served: Served) -> None:
        pieces, answer = await ask(served, CODE, 8, logprobs=2)
        text = "".join(token.text for token in answer.tokens)
        assert text.startswith("".join(pieces))
        assert all(token.logprob <= 0 for token in answer.tokens)
        # Greedy: none was likelier.
        assert all(
            token.logprob >= max(token.top.values(), default=token.logprob) - 1e-6
            for token in answer.tokens
        )

    async def test_many_at_once_all_get_their_own(self, served: Served) -> None:
        prompts = [f"def number_{n}(value):\n    return value + " for n in range(6)]
        alone = [(await ask(served, prompt))[0] for prompt in prompts]
        together = await asyncio.gather(*(ask(served, prompt) for prompt in prompts))
        assert ["".join(p) for p, _ in together] == ["".join(p) for p in alone]

    async def test_who_hangs_up_frees_the_slot(self, served: Served) -> None:
        body = {"model": served.model, "prompt": CODE, "max_tokens": 150, "ignore_eos": True}
        async with Client(served.address.url, served.address.token, timeout=300) as client:
            stream = client.complete(body, Answer())
            await anext(stream)
            assert await asyncio.to_thread(served.running) == 1
            await stream.aclose()
        await asyncio.to_thread(wait_until, lambda: not served.running())

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"token": "wrong"}, "refused the token"),
            ({"model": "nobody"}, "404"),
            ({"prompt": CODE * 200}, "400"),
            ({"max_tokens": -1}, "400"),
            ({"temperature": 99}, "400"),
        ],
    )
    async def test_refusals_are_told(
        self, served: Served, change: Mapping[str, Any], said: str
    ) -> None:
        body = {"model": served.model, "prompt": CODE, "max_tokens": 4, **change}
        token = body.pop("token", served.address.token)
        async with Client(served.address.url, token) as client:
            with pytest.raises(EngineError, match=said):
                await anext(client.complete(body, Answer()))

    async def test_a_chat_streams_and_tells_what_it_took(self, served: Served) -> None:
        heard: list[str] = []
        address = served.address
        async with Chat(address.url, served.model, address.token, context=256) as chat:
            said = await chat.say(
                [Message("user", "Say something short.")], max_tokens=8, on_text=heard.append
            )
        assert heard
        assert said.text.strip() == "".join(heard).strip()
        assert not said.usage.guessed
        assert said.usage.completion > 0
        assert served.running() == 0


class SeedContract:
    """What vLLM does not promise while it guesses: how much is drawn depends on the guesses."""

    async def test_a_seed_draws_the_same_again(self, served: Served) -> None:
        drawn = {"temperature": 1.0, "seed": 7, "ignore_eos": True}
        first, second, other = [
            "".join((await ask(served, OTHER, 16, **drawn | change))[0])
            for change in ({}, {}, {"seed": 8})
        ]
        assert first == second != other
