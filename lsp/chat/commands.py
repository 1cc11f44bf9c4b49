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

from completion import chat_edit
from completion.chat import Said
from completion.chat_prompts import Part, Prompt, Task
from completion.document import Document, language_of
from completion.retrieve import Retriever
from lsp.chat import checks, edits, sandboxed
from lsp.chat.asked import Asked, parse
from lsp.chat.model import Models
from lsp.chat.place import Place, place_of
from lsp.progress import Progress
from sandbox import staged
from tandem import secrets
from tandem.config import Config
from tandem.errors import TandemError, UsageError
from tandem.workspace import root_of

if TYPE_CHECKING:
    from lsp.server import TandemServer

FAILED = types.LSPErrorCodes.RequestFailed
MODIFIED = types.LSPErrorCodes.ContentModified
AROUND = 4000  # characters of the file around a place that a prompt may show
PIECES_SHARE = 4  # of a prompt's room for pieces of other files
LOOK_UP_MS = 1000.0
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
        place = self._place(asked)
        return await self._said("explain", asked, place, progress)

    async def _ask(self, asked: Asked, progress: Progress) -> dict[str, Any]:
        if not asked.instruction.strip():
            raise JsonRpcInvalidParams("instruction must hold the question.")
        place = self._place(asked) if asked.uri else None
        return await self._said("ask", asked, place, progress)

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
        said, prompt = await self._answer("tests", told, self._parts(place), place, progress)
        code = chat_edit.code_of(said.text)
        if not code.strip():
            raise TandemError("The answer holds no code.", _start(said.text))
        progress.report("running them in the sandbox")
        ran = await asyncio.to_thread(sandboxed.run_tests, file, place, code)
        edit = edits.workspace_edit(
            self._server, f"add {file.path}", {}, {(file.root / file.path).as_uri(): code}
        )
        return {
            **_told(said, prompt),
            "tests": ran,
            **await self._offered(asked, edit, f"add {file.path}"),
        }

    async def _review(self, asked: Asked, progress: Progress) -> dict[str, Any]:
        return await self._staged("review", asked, progress)

    async def _commit_message(self, asked: Asked, progress: Progress) -> dict[str, Any]:
        return await self._staged("commit", asked, progress)

    async def _staged(self, task: Task, asked: Asked, progress: Progress) -> dict[str, Any]:
        diff = await asyncio.to_thread(staged.diff, self._root(asked))
        parts = [Part("the staged change", diff, "diff")]
        said, prompt = await self._answer(task, asked, parts, None, progress)
        return _told(said, prompt)

    async def _said(
        self, task: Task, asked: Asked, place: Place | None, progress: Progress
    ) -> dict[str, Any]:
        parts = self._parts(place) if place else []
        said, prompt = await self._answer(task, asked, parts, place, progress)
        return _told(said, prompt)

    async def _changed(
        self, task: Task, asked: Asked, place: Place, progress: Progress
    ) -> dict[str, Any]:
        """The place edited as the answer says, if that is for the document as it still is."""
        if not place.text.strip():
            raise UsageError("There is no code here to change.", "Select some.")
        said, prompt = await self._answer(
            task, asked, self._parts(place), place, progress, place.text
        )
        if said.finish == "length":
            raise TandemError("The answer was cut off at chat.max_tokens.", "Select less.")
        after = chat_edit.edited(said.text, place.text)
        if not after.strip():
            raise TandemError("The answer holds no code.", _start(said.text))
        self._must_be_the_same(place)
        answer = _told(said, prompt)
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
        parts: Sequence[Part],
        place: Place | None,
        progress: Progress,
        changes: str = "",
    ) -> tuple[Said, Prompt]:
        """Ask the model. Pieces go to the asker's token: of the text, or of `changes` as a diff."""
        config = self._config(asked)
        room, count = await self._models.room(config, progress.report)
        found: Sequence[Part] = []
        if place is not None:
            found = await asyncio.to_thread(
                self._pieces, place.document, place.offset, room // PIECES_SHARE, count
            )
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

        return await self._models.say(
            config,
            task,
            asked.instruction,
            [*parts, *found],
            prediction=changes,
            on_text=on_text,
            tell=progress.report,
        )

    def _parts(self, place: Place) -> list[Part]:
        """The code itself, and as what can be left out the lines around it."""
        language = place.document.language
        where = f"{place.name}, lines {place.first + 1}–{place.last + 1}"
        parts = [Part(where, place.text, language)]
        before, after = place.around(AROUND)
        for title, text in (
            (f"{place.name}, before it", before),
            (f"{place.name}, after it", after),
        ):
            if text.strip():
                parts.append(Part(title, text, language, "the same file", named=False))
        return parts

    def _pieces(
        self, document: Document, offset: int, budget: int, count: Callable[[str], int]
    ) -> list[Part]:
        repository = self._server.repositories.all.of(document.path, document.root)
        if repository is None or budget <= 0:
            return []
        retriever = Retriever(repository.index, count, time_box_ms=LOOK_UP_MS)
        found = retriever.context(document, offset, budget).pieces
        return [
            Part(
                f"{one.path}, line {one.first + 1}",
                one.text,
                language_of(Path(one.path)),
                f"{one.source}: {one.reason}",
                named=False,
            )
            for one in found
        ]

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
        return settings.of(document.path) if document else settings.of(self._root(asked) / "any")

    def _root(self, asked: Asked) -> Path:
        """The repository that a command is about. Raises UsageError if there is none."""
        document = self._server.documents.get(asked.uri) if asked.uri else None
        if document is not None and document.path.is_absolute():
            folder = self._server.settings.folder_of(document.path)
            found = root_of(document.path) or folder or document.path.parent
            return found
        if self._server.settings.folders:
            return self._server.settings.folders[0]
        raise UsageError("No folder is open.", "Open a repository, or name a document.")


def _told(said: Said, prompt: Prompt) -> dict[str, Any]:
    usage = {
        "prompt": said.usage.prompt,
        "answer": said.usage.completion,
        "cost": said.usage.cost,
    }
    shown = [{"name": part.name, "reason": part.reason} for part in prompt.shown]
    told = {"text": said.text, "usage": usage, "context": shown, "leftOut": prompt.left_out}
    if said.finish == "length":
        told["leftOut"] = [*prompt.left_out, "the answer's end: it is longer than chat.max_tokens"]
    return told


def _start(text: str) -> str:
    return f"It begins: {text.strip().partition(chr(10))[0][:120]}"
