"""Several answers to one question, the best of them first.

The greedy answer comes as it always does. Where it was a close call the second choice is asked to
go on, each such branch as a request of its own; `rank` chooses.
"""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

from completion.branches import Branch, branches
from completion.client import Answer, Client
from completion.rank import Candidate, order
from completion.reader import Reader


async def best(
    client: Client,
    body: dict[str, Any],
    greedy: Answer,
    read: Reader,
    kept: str,
    most: int,
    new_reader: Callable[[], Reader],
    unknown: Callable[[str], int],
) -> tuple[str, list[dict[str, Any]]]:
    """The text to show of at most `most` answers, and all of them for the trace.

    `greedy` is the answer to `body`, as far as `read` has read it, and `kept` what may be shown
    of it. `unknown` counts a text's names that nobody knows. Raises EngineError.
    """
    found = branches(read.answer, greedy.tokens, body.get("heal", ""), most - 1)
    others = [_asked(client, body, branch, new_reader()) for branch in found]
    sure = tuple(token.logprob for token in greedy.tokens)
    texts = [(kept, sure), *await asyncio.gather(*others)]
    ranked = order([Candidate(text, nats, unknown=unknown(text)) for text, nats in texts])
    if not ranked:
        return kept, []
    told = [{"text": one.candidate.text, **one.told()} for one in ranked]
    return ranked[0].candidate.text, told


async def _asked(
    client: Client, body: dict[str, Any], branch: Branch, reader: Reader
) -> tuple[str, tuple[float, ...]]:
    """What may be shown of a branch, and its tokens' nats."""
    answer = Answer()
    done = reader.feed(branch.text)
    if not branch.complete and not done:
        async with aclosing(client.complete(branch.body(body), answer)) as pieces:
            async for piece in pieces:
                if reader.feed(piece):
                    break
    complete = reader.stop.stopped or branch.complete or answer.finish == "stop"
    kept = reader.finish(reader.stop.text, complete)
    return kept.text, (*branch.logprobs, *(one.logprob for one in answer.tokens))
