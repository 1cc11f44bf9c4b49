"""The chat commands of the language server: what each does with its place and the model's answer.

An answer is an object: `text`, `model`, `usage`, `leftOut` (what the prompt had no room for), and
by command `edit` (a WorkspaceEdit), `diff`, `applied`, `why` (not applied), `warnings`, `tests`.
Of each kind one is in flight: a newer one cancels the older. Errors are one line: wrong
arguments (-32602), cancelled (-32800), the document has changed meanwhile (-32801), and all else
(-32803).
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lsprotocol import converters, types
from pygls.exceptions import JsonRpcException, JsonRpcInvalidParams

from completion import chat_edit, chat_history
from completion.chat_context import Selection
from completion.chat_history import History
from completion.chat_prompts import Part, Task
from completion.conversation import Answer
from lsp.chat import checks, edits, sandboxed
from lsp.chat.asked import Asked, parse
from lsp.chat.model import Models
from lsp.chat.place import Place, place_of
from lsp.progress import Progress
from sandbox.staged import staged
from tandem import secrets
from tandem.config import Config
from tandem.errors import TandemError, UsageError
from tandem.workspace import root_of

if TYPE_CHECKING:
    from lsp.server import TandemServer

FAILED = types.LSPErrorCodes.RequestFailed
MODIFIED = types.LSPErrorCodes.ContentModified
AROUND = 4000  # characters of the file around a place that a prompt may show
_TITLES = {
    "explain": "explaining",
    "edit": "editing",
    "document": "documenting",
    "tests": "writing tests",
    "fix": "fixing",
    "ask": "answering",
    "review": "reviewing",
    "commitMessage": "writing the commit message",
}
log = logging.getLogger(__name__)
_converter = converters.get_converter()


class ChatCommands:
    """Of one language server."""

    def __init__(self, server: "TandemServer") -> None:
        self._server = server
        self._models = Models("lsp")
        self._running: dict[str, asyncio.Task[Any]] = {}
        self._work: dict[str, Callable[[Asked, Progress], Coroutine[Any, Any, dict[str, Any]]]] = {
            "explain": self._explain,
            "edit": self._edit,
            "document": self._document,
            "tests": self._tests,
            "fix": self._fix,
            "ask": self._ask,
            "review": self._review,
            "commitMessage": self._commit_message,
        }

    async def run(self, kind: str, arguments: Sequence[Any]) -> dict[str, Any]:
        """The answer to a command. Raises JsonRpcException; cancelling ends the work."""
        asked = parse(arguments)
        if kind in self._running:
            self._running[kind].cancel()
        task = asyncio.current_task()
        assert task is not None
        self._running[kind] = task
        progress = await Progress.begin(self._server, f"Tandem: {_TITLES[kind]}")
        outcome = "stopped"
        try:
            answer = await self._work[kind](asked, progress)
            outcome = "done"
        except TandemError as error:
            outcome = str(error)
            raise JsonRpcException(secrets.redact(outcome), FAILED) from error
        finally:
            progress.end(outcome)
            if self._running.get(kind) is task:
                del self._running[kind]
        if asked.show and answer.get("text"):
            message = types.ShowMessageParams(types.MessageType.Info, answer["text"])
            self._server.window_show_message(message)
        return answer

    async def close(self) -> None:
        for task in list(self._running.values()):
            task.cancel()
        await self._models.close()

    async def _explain(self, asked: Asked, progress: Progress) -> dict[str, Any]:
        return _told(await self._answer("explain", asked, self._place(asked), progress))

    async def _ask(self, asked: Asked, progress: Progress) -> dict[str, Any]:
        if not asked.instruction.strip():
            raise JsonRpcInvalidParams("instruction must hold the question.")
        place = self._place(asked) if asked.uri else None
        root = self._folder(asked)
        history = (chat_history.new if asked.new else chat_history.latest)(root) if root else None
        return _told(await self._answer("ask", asked, place, progress, history=history))

    async def _edit(self, asked: Asked, progress: Progress) -> dict[str, Any]:
        if not asked.instruction.strip():
            raise JsonRpcInvalidParams("instruction must say what to change.")
        return await self._changed("edit", asked, self._lines(asked), progress)

    async def _document(self, asked: Asked, progress: Progress) -> dict[str, Any]:
        return await self._changed("document", asked, self._place(asked).of_symbol(), progress)

    async def _fix(self, asked: Asked, progress: Progress) -> dict[str, Any]:
        """What diagnostics say at a place; without any, what a failing test says."""
        if asked.test or not asked.diagnostics:
            return await sandboxed.fix(self._server, asked, self._root(asked), progress)
        wrong = "\n".join([*asked.diagnostics, asked.instruction]).strip()
        told = Asked(**{**vars(asked), "instruction": wrong})
        return await self._changed("fix", told, self._lines(asked), progress)

    async def _tests(self, asked: Asked, progress: Progress) -> dict[str, Any]:
        place = self._place(asked).of_symbol()
        if place.document.language != "python":
            raise UsageError("Tests are written and run for Python only, so far.")
        file = sandboxed.test_file(self._root(asked), place)
        told = Asked(**{**vars(asked), "instruction": f"{asked.instruction} {file.how}".strip()})
        answer = await self._answer("tests", told, place, progress)
        code = chat_edit.code_of(answer.text)
        if not code.strip():
            raise TandemError("The answer holds no code.", _start(answer.text))
        progress.report("running them in the sandbox")
        ran = await asyncio.to_thread(sandboxed.run_tests, file, place, code)
        edit = edits.workspace_edit(
            self._server, f"add {file.path}", {}, {(file.root / file.path).as_uri(): code}
        )
        return {
            **_told(answer),
            "tests": ran,
            **await self._offered(asked, edit, f"add {file.path}"),
        }

    async def _review(self, asked: Asked, progress: Progress) -> dict[str, Any]:
        return await self._staged("review", asked, progress)

    async def _commit_message(self, asked: Asked, progress: Progress) -> dict[str, Any]:
        return await self._staged("commit", asked, progress)

    async def _staged(self, task: Task, asked: Asked, progress: Progress) -> dict[str, Any]:
        changes = await asyncio.to_thread(staged, self._root(asked))
        if not changes:
            raise UsageError("Nothing is staged.", "Run git add first.")
        text = "\n".join(change.diff for change in changes)
        parts = [Part("The staged change", text, "diff", "staged")]
        return _told(await self._answer(task, asked, None, progress, parts))

    async def _changed(
        self, task: Task, asked: Asked, place: Place, progress: Progress
    ) -> dict[str, Any]:
        """The place edited as the answer says, if that is for the document as it still is."""
        if not place.text.strip():
            raise UsageError("There is no code here to change.", "Select some.")
        answered = await self._answer(task, asked, place, progress, changes=place.text)
        if answered.said.finish == "length":
            raise TandemError("The answer was cut off at chat.max_tokens.", "Select less.")
        after = chat_edit.edited(answered.text, place.text)
        if not after.strip():
            raise TandemError("The answer holds no code.", _start(answered.text))
        self._must_be_the_same(place)
        answer = _told(answered)
        if after == place.text:
            return {**answer, "edit": None, "applied": False, "why": "the answer changes nothing"}
        whole = place.document.text
        changed = whole[: place.offset] + after + whole[place.offset + len(place.text) :]
        language = place.document.language
        if task == "document" and not checks.same_code(language, whole, changed):
            raise TandemError("The answer changes code, not only its documentation.", "Try again.")
        warnings = ["it does not parse"] if checks.broken(language, whole, changed) else []
        label = f"{_TITLES[task]} {place.name}"
        edit = edits.workspace_edit(
            self._server,
            label,
            {place.uri: (place.document.version, [place.replaced(after)])},
        )
        return {
            **answer,
            "diff": chat_edit.diff(place.text, after, place.name, place.first),
            "warnings": warnings,
            **await self._offered(asked, edit, label),
        }

    async def _answer(
        self,
        task: Task,
        asked: Asked,
        place: Place | None,
        progress: Progress,
        parts: Sequence[Part] = (),
        *,
        changes: str = "",
        history: History | None = None,
    ) -> Answer:
        """Ask the model. Pieces go to the asker's token, of `changes` also as a diff so far."""
        so_far = ""

        def on_text(piece: str) -> None:
            nonlocal so_far
            so_far += piece
            if asked.token is None:
                return
            value: dict[str, Any] = {"text": piece}
            if changes and place is not None and "\n" in piece:
                value["diff"] = chat_edit.diff_so_far(changes, so_far, place.name, place.first)
            params = types.ProgressParams(asked.token, value)
            self._server.protocol.notify(types.PROGRESS, params)

        selections = [Selection(place.document, place.first, place.last)] if place else []
        root = self._folder(asked)
        repository = self._server.repositories.all.of(root / "any", root) if root else None
        return await self._models.ask(
            self._config(asked),
            task,
            asked.instruction,
            selections,
            [*parts, *(_around(place) if place else [])],
            index=repository.index if repository else None,
            history=history,
            on_text=on_text,
            tell=progress.report,
        )

    async def _offered(self, asked: Asked, edit: types.WorkspaceEdit, label: str) -> dict[str, Any]:
        applied, why = False, "it was not to be applied"
        if asked.apply:
            applied, why = await edits.offer(self._server, label, edit)
        return {"edit": _converter.unstructure(edit), "applied": applied, "why": why}

    def _place(self, asked: Asked) -> Place:
        if not asked.uri:
            raise JsonRpcInvalidParams("uri must name a document.")
        document = self._server.documents.get(asked.uri)
        if document is None:
            raise JsonRpcInvalidParams(f"{asked.uri} is not open.")
        if secrets.is_secret_file(document.path):
            raise UsageError(f"{document.path.name} holds secrets by its name.", "")
        folder = self._server.settings.folder_of(document.path)
        return place_of(document, asked, folder, self._server.documents.encoding)

    def _lines(self, asked: Asked) -> Place:
        """What is selected; with nothing selected, the function or class around."""
        place = self._place(asked)
        empty = asked.range is None or asked.range.start == asked.range.end
        return place.of_symbol() if empty else place

    def _must_be_the_same(self, place: Place) -> None:
        document = self._server.documents.get(place.uri)
        if document is None or document.version != place.document.version:
            raise JsonRpcException("The document has changed meanwhile.", MODIFIED)

    def _config(self, asked: Asked) -> Config:
        settings = self._server.settings
        document = self._server.documents.get(asked.uri) if asked.uri else None
        folder = self._folder(asked)
        if document is not None:
            return settings.of(document.path)
        return settings.of(folder / "any") if folder else settings.current()[0]

    def _root(self, asked: Asked) -> Path:
        """The repository that a command is about. Raises UsageError if there is none."""
        found = self._folder(asked)
        if found is None:
            raise UsageError("No folder is open.", "Open a repository, or name a document.")
        return found

    def _folder(self, asked: Asked) -> Path | None:
        settings = self._server.settings
        document = self._server.documents.get(asked.uri) if asked.uri else None
        if document is not None and document.path.is_absolute():
            folder = settings.folder_of(document.path)
            return root_of(document.path) or folder or document.path.parent
        return settings.folders[0] if settings.folders else None


def _around(place: Place) -> list[Part]:
    """The lines around a place: what can be left out first."""
    before, after = place.around(AROUND)
    language = place.document.language
    return [
        Part(f"{place.name}, {where} it", text, language, "the same file", named=False)
        for where, text in (("before", before), ("after", after))
        if text.strip()
    ]


def _told(answer: Answer) -> dict[str, Any]:
    said, prompt = answer.said, answer.prompt
    usage = {
        "prompt": said.usage.prompt,
        "answer": said.usage.completion,
        "cost": said.usage.cost,
    }
    shown = [{"name": part.name, "reason": part.reason} for part in prompt.shown]
    left_out = list(prompt.left_out)
    if said.finish == "length":
        left_out.append("the answer's end: it is longer than chat.max_tokens")
    return {"text": said.text, "usage": usage, "context": shown, "leftOut": left_out}


def _start(text: str) -> str:
    return f"It begins: {text.strip().partition(chr(10))[0][:120]}"
