"""`tandem ask`: one question about code, one answer, streamed."""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tandem import config, progress
from tandem.config import Config
from tandem.errors import EngineError, UsageError
from tandem.workspace import root_of

if TYPE_CHECKING:
    from completion.chat import Chat
    from completion.chat_prompts import Part, Task
    from completion.conversation import Answer
    from completion.index import Index

# Of standard input, which a prompt could not hold anyway.
MOST_BYTES = 1_000_000


def ask(
    question: Annotated[str, typer.Argument(help="What you want to know; - reads it.")] = "",
    places: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FILE[:LINE[-LINE]]]...", help="The code it is about; - for standard input."
        ),
    ] = None,
    review: Annotated[bool, typer.Option("--review", help="Review what is staged.")] = False,
    commit: Annotated[
        bool, typer.Option("--commit", help="Write the commit message for what is staged.")
    ] = False,
    show_context: Annotated[
        bool, typer.Option("--show-context", help="Tell what the model was shown, and why.")
    ] = False,
    model: Annotated[str | None, typer.Option(help="Instead of chat.model.")] = None,
    endpoint: Annotated[str | None, typer.Option(help="Instead of chat.endpoint.")] = None,
) -> None:
    """Ask the chat model about your code, what is staged, or (as -) what is piped in."""
    from completion.chat_context import selection_of
    from completion.chat_prompts import Part
    from completion.conversation import Conversation
    from tandem.spoken import Spoken

    if review and commit:
        raise UsageError("--review and --commit ask for two things.", "Name one of them.")
    wanted = list(places or ())
    given = standard_input() if "-" in [question, *wanted] else ""
    if question == "-":
        question, given = given.strip(), ""
    task: Task = "review" if review else "commit" if commit else "ask"
    if task == "ask" and not question.strip():
        raise UsageError("There is no question.", 'Try: tandem ask "What does this do?" FILE')
    root = root_of(Path.cwd() / "here")
    selections = [selection_of(place) for place in wanted if place != "-"]
    if root is None and selections:
        root = root_of(selections[0].document.path)
    parts = [Part("Standard input", given, "", "piped to you")] if given.strip() else []
    if task != "ask":
        parts = [staged_part(root), *parts]
    settings = settings_for(root, model, endpoint)

    async def run(index: "Index | None") -> "Answer":
        async with await connected(settings, "ask") as chat:
            conversation = Conversation(chat, index)
            with Spoken(plain=task == "commit") as spoken:
                return await conversation.ask(
                    question, selections, task, parts=parts, on_text=spoken
                )

    with opened_index(root if task == "ask" else None) as index:
        answer = asyncio.run(run(index))
    tell(answer, show_context)


def settings_for(root: Path | None, model: str | None, endpoint: str | None) -> Config:
    """The settings, with what flags say about the chat model; notices are told."""
    from tandem.spoken import aside

    flags = {"model": model, "endpoint": endpoint}
    chat = {name: value for name, value in flags.items() if value is not None}
    settings = config.load(root, {"chat": chat} if chat else None)
    for notice in settings.notices:
        aside(notice, "yellow")
    return settings


async def connected(settings: Config, source: str) -> "Chat":
    """The chat model; a terminal shows what is waited for."""
    from rich.console import Console

    from completion.chat import connect

    with Console(stderr=True).status("Looking for the model") as status:
        return await connect(settings, source=source, progress=lambda text: status.update(text))


@contextmanager
def opened_index(root: Path | None) -> "Iterator[Index | None]":
    """The repository's index, brought up to date; None where there is no repository."""
    if root is None:
        yield None
        return
    from completion.index import Index, Indexer

    with progress.on_stderr() as told:
        Indexer(root).update(partial(told, "reading the repository"))
    index = Index(root)
    try:
        yield index
    finally:
        index.close()


def staged_part(root: Path | None) -> "Part":
    """What is staged, as text for a model. Raises UsageError if there is nothing."""
    from completion.chat_prompts import Part
    from sandbox.staged import staged

    if root is None:
        raise UsageError("This is no git repository.", "Go to one, or run: git init")
    changes = staged(root)
    if not changes:
        raise UsageError("Nothing is staged.", "Stage something: git add FILE")
    text = "\n".join(change.diff for change in changes)
    return Part("The staged change", text, "diff", "staged")


def tell(answer: "Answer", show_context: bool) -> None:
    """What a reader must know about an answer. Raises EngineError for one that is not whole."""
    from tandem.spoken import aside

    prompt = answer.prompt
    if show_context:
        for part in prompt.shown:
            aside(f"{part.name}: {part.reason}")
        for name in prompt.unused:
            aside(f"{name}: no room")
        usage = answer.said.usage
        about = "about " if usage.guessed else ""
        cost = f", cost {usage.cost:.4f}" if usage.cost else ""
        aside(f"{about}{usage.prompt} tokens asked, {usage.completion} answered{cost}")
    if prompt.left_out:
        aside(f"The model had no room for: {', '.join(prompt.left_out)}.", "yellow")
    finish = answer.said.finish
    if finish == "length":
        aside("The answer ends here at the limit of tokens (chat.max_tokens).", "yellow")
    elif finish == "loop":
        aside("The model began to repeat itself and was stopped.", "yellow")
    elif finish == "cut":
        raise EngineError("The answer broke off.", "Ask again, or raise chat.timeout_s.")
    elif finish in ("refusal", "content_filter"):
        raise EngineError("The model would not answer.", "Ask in other words.")
    elif not answer.text.strip():
        raise EngineError("The model answered nothing.", "Ask in other words.")


def standard_input() -> str:
    """What is piped to us. Raises UsageError where a person would have to type it."""
    if sys.stdin.isatty():
        raise UsageError("- reads standard input, which is a terminal.", "Pipe something in.")
    return sys.stdin.buffer.read(MOST_BYTES).decode("utf-8", "replace")
