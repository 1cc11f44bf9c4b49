"""The loop of `tandem chat`: what is typed is a question, or a /command about files."""

import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from completion import chat_history
from completion.chat import Chat
from completion.chat_context import Selection, selection_of
from completion.chat_edit import code_of, diff, edited
from completion.chat_history import History
from completion.chat_prompts import Part, Task
from completion.conversation import Answer, Conversation
from completion.index import Index
from tandem import ask_cli, changing
from tandem.errors import TandemError, UsageError
from tandem.spoken import Spoken, aside, interactive

Run = Callable[[Coroutine[Any, Any, Answer]], Answer]


@dataclass(frozen=True)
class _Command:
    """`usage` is what follows the name."""

    usage: str
    help: str
    run: Callable[["Talk", str], None]


class Talk:
    """One conversation. `run_async` runs a coroutine to its end; Ctrl-C cancels it."""

    def __init__(
        self, chat: Chat, index: Index | None, history: History, root: Path | None, run_async: Run
    ) -> None:
        self._chat = chat
        self._index = index
        self._history = history
        self._root = root
        self._run_async = run_async
        self._pinned: list[Selection] = []
        self._last: Answer | None = None
        self._console = Console()

    def run(self) -> bool:
        """Until /quit or the end of input; whether something failed that nobody could see."""
        failed = False
        self._greet()
        while (line := self._read()) is not None:
            line = line.strip()
            if line in ("/quit", "/exit"):
                break
            if not line:
                continue
            try:
                self._obey(line)
            except TandemError as error:
                aside(f"tandem: {error}", "red")
                failed = not interactive()
            except KeyboardInterrupt:
                if not interactive():
                    raise
                aside("Stopped. What came is kept.")
        return failed

    def _greet(self) -> None:
        if interactive():
            kept = len(self._history.messages())
            going_on = f", going on after {kept} messages (--new begins anew)" if kept else ""
            aside(f"{self._chat.model}{going_on}. /help lists the commands.")

    def _read(self) -> str | None:
        """A line, None at the end of input."""
        if not interactive():
            return sys.stdin.readline() or None
        import readline  # noqa: F401, arrows and history in input()

        while True:
            try:
                return input("› ")
            except EOFError:
                print()
                return None
            except KeyboardInterrupt:
                print()
                aside("/quit ends the chat.")

    def _obey(self, line: str) -> None:
        if not line.startswith("/"):
            self._ask(line, self._pinned)
            return
        name, _, rest = line[1:].partition(" ")
        command = _COMMANDS.get(name)
        if command is None:
            raise UsageError(f"There is no /{name}.", "See: /help")
        command.run(self, rest.strip())

    def _ask(
        self,
        asked: str,
        selections: list[Selection],
        task: Task = "ask",
        parts: tuple[Part, ...] = (),
        on_text: Callable[[str], None] | None = None,
    ) -> Answer:
        """An answer, shown as it comes unless `on_text` shows it."""
        conversation = Conversation(self._chat, self._index, self._history)

        def answer(show: Callable[[str], None]) -> Answer:
            going = conversation.ask(asked, selections, task, parts=parts, on_text=show)
            return self._run_async(going)

        if on_text is not None:
            self._last = answer(on_text)
        else:
            with Spoken(self._console, plain=task == "commit") as spoken:
                self._last = answer(spoken)
        ask_cli.tell(self._last, show_context=False)
        return self._last

    def explain(self, rest: str) -> None:
        selections, asked = self._places(rest)
        self._ask(asked, selections, "explain")

    def review(self, rest: str) -> None:
        self._ask(rest, [], "review", (ask_cli.staged_part(self._root),))

    def commit(self, rest: str) -> None:
        self._ask(rest, [], "commit", (ask_cli.staged_part(self._root),))

    def edit(self, rest: str) -> None:
        selections, asked = self._places(rest)
        if not asked:
            raise UsageError("What shall change?", "Write: /edit FILE:FIRST-LAST INSTRUCTION")
        self._change(asked, selections, "edit")

    def document(self, rest: str) -> None:
        selections, asked = self._places(rest)
        self._change(asked, selections, "document")

    def tests(self, rest: str) -> None:
        """New tests are shown and, with a yes, saved in a new file."""
        selections, asked = self._places(rest)
        answer = self._ask(asked, selections, "tests")
        code = code_of(answer.text)
        if not code.strip():
            raise TandemError("The answer holds no code.", "Ask again in other words.")
        file = changing.new_test_file(selections[0].document.path, self._root)
        if self._agreed(f"Save it as {file}?"):
            changing.create(file, code)
            aside(f"Saved {file}. Run it: tandem fix --help, or your own test command.")

    def context(self, rest: str) -> None:
        """Pin files for the questions to come, or tell what the last answer saw."""
        if rest == "-":
            self._pinned = []
        elif rest:
            self._pinned, _ = self._places(rest)
        for one in self._pinned:
            print(f"pinned: {one.name(self._root)}")
        if self._last is not None and not rest:
            for part in self._last.prompt.shown:
                print(f"{part.name}: {part.reason}")
            for name in self._last.prompt.unused:
                print(f"{name}: no room")
        elif not self._pinned:
            print("Nothing is pinned, and nothing was asked yet." if not rest else "Unpinned.")

    def begin(self, _: str) -> None:
        self._history = chat_history.new(self._history.workspace)
        print("A new chat.")

    def help(self, _: str) -> None:
        for name, command in _COMMANDS.items():
            print(f"/{f'{name} {command.usage}'.strip():32} {command.help}")
        print(f"{'/quit':33} End the chat; it is kept.")

    def _change(self, asked: str, selections: list[Selection], task: Task) -> None:
        """Ask for changed code, show the difference as it comes, apply it with a yes."""
        if len(selections) != 1:
            raise UsageError("Name one place.", f"Write: /{task} FILE:FIRST-LAST")
        [selection] = selections
        name = selection.name(self._root).partition(",")[0]
        with changing.Difference(self._console, selection, name) as difference:
            answer = self._ask(asked, selections, task, on_text=difference)
        code = edited(answer.text, selection.text)
        if not code:
            raise TandemError("The answer holds no code.", answer.text[:200])
        told = diff(selection.text, code, name, selection.first)
        if not told:
            print("The answer changes nothing.")
            return
        changing.show(self._console, told)
        if self._agreed("Apply it?"):
            changing.apply(selection, code)
            aside(f"Changed {name}.")

    def _agreed(self, question: str) -> bool:
        """No unless somebody says yes."""
        self._console.print(f"{question} [y/N] ", end="", markup=False, highlight=False)
        line = sys.stdin.readline()
        if not interactive():
            print()
        return line.strip().lower() in ("y", "yes")

    def _places(self, rest: str) -> tuple[list[Selection], str]:
        """The files that a command's words begin with, or those pinned, and the other words."""
        words = rest.split()
        selections = []
        while words and (_is_place(words[0]) or (not selections and _looks_like(words[0]))):
            selections.append(selection_of(words.pop(0)))
        selections = selections or list(self._pinned)
        if not selections:
            raise UsageError("Which code?", "Name it: FILE, FILE:LINE or FILE:FIRST-LAST")
        return selections, " ".join(words)


def _is_place(word: str) -> bool:
    return Path(word).is_file() or Path(word.partition(":")[0]).is_file()


def _looks_like(word: str) -> bool:
    """A path that is not there should be told so, not be taken for a question."""
    return "/" in word or ":" in word


_COMMANDS = {
    "explain": _Command("PLACE [QUESTION]", "What code does, and why.", Talk.explain),
    "edit": _Command("PLACE INSTRUCTION", "Change code; you see the diff first.", Talk.edit),
    "doc": _Command("PLACE", "Write documentation comments.", Talk.document),
    "tests": _Command("PLACE", "Write unit tests into a new file.", Talk.tests),
    "review": _Command("[QUESTION]", "Review what is staged.", Talk.review),
    "commit": _Command("", "Write the message for what is staged.", Talk.commit),
    "context": _Command("[PLACE... | -]", "Pin code; tell what the model saw.", Talk.context),
    "new": _Command("", "Begin a new chat.", Talk.begin),
    "help": _Command("", "This list. A PLACE is FILE, FILE:LINE or FILE:FIRST-LAST.", Talk.help),
}
