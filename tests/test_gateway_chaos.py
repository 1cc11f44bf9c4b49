"""The replay under chaos sees a mix-up of tenants: one is planted, and it is counted."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.parts import gateway_chaos
from benchmarks.parts.gateway_chaos import PROMPTS
from tests.gateways import Running, backend, gateway
from tests.scripted_backend import Script, scripted
from tests.wire import wait_until

OF = {"ann": "ann-adapter", "bob": "bob-adapter"}
# The back end says the prompt again: that is right for ann, and never for bob.
TEXTS = {("ann-adapter", prompt): prompt for prompt in PROMPTS} | {
    ("bob-adapter", prompt): f"of bob: {prompt}" for prompt in PROMPTS
}
REQUESTS = 60


@pytest.fixture
def script() -> Iterator[Script]:
    with scripted("m", text="") as script:
        script.models += [{"id": name, "parent": "m"} for name in OF.values()]
        yield script


@pytest.fixture
def running(tmp_path: Path, script: Script) -> Iterator[Running]:
    users = {
        user: {"scopes": ["completion", "adapters", "admin"], "adapters": [name]}
        for user, name in OF.items()
    }
    with gateway(tmp_path, [backend("one", script.url)], users) as found:
        wait_until(lambda: len(found.state()["backends"][0]["adapters"]) == 2)
        yield found


def replay(running: Running, user: str, texts: gateway_chaos.Texts = TEXTS) -> dict[str, int]:
    told = asyncio.run(gateway_chaos.replay(running, {user: OF[user]}, texts, (), REQUESTS))
    assert told.ends.total() == REQUESTS
    assert told.ends.pop("left", 0) < REQUESTS / 2
    return dict(told.ends)


def test_what_is_right_is_counted_as_that(running: Running) -> None:
    assert replay(running, "ann").keys() == {"right"}


def test_another_tenants_text_is_counted_as_mixed(running: Running) -> None:
    assert replay(running, "bob").keys() == {"mixed"}


def test_another_tenants_adapter_is_stopped_by_the_gateway(
    running: Running, script: Script
) -> None:
    script.model = "bob-adapter"
    assert replay(running, "ann").keys() == {"error"}


def test_another_adapter_is_counted_as_mixed(running: Running, script: Script) -> None:
    """Of one that the back end does not list, the gateway cannot know whose it is."""
    script.model = "carols-adapter"
    assert replay(running, "ann").keys() == {"mixed"}


def test_a_text_that_is_nobodys_is_counted_as_wrong(running: Running) -> None:
    texts = {key: f"not {text}" for key, text in TEXTS.items()}
    assert replay(running, "ann", texts).keys() == {"wrong"}


def test_how_far_it_is_is_told(running: Running) -> None:
    lines: list[str] = []
    asyncio.run(
        gateway_chaos.replay(running, OF, TEXTS, (), REQUESTS, pace=0.02, tell=lines.append)
    )
    assert lines
    assert "0 kills" in lines[0]
