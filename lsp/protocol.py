"""JSON-RPC as pygls does it, with our own documents and an answer to every request.

pygls leaves a request unanswered when its parameters are malformed or when it comes after
`shutdown`; an editor then waits for ever.
"""

import inspect
from typing import Any

from lsprotocol import types
from pygls.exceptions import (
    JsonRpcException,
    JsonRpcInvalidRequest,
    JsonRpcServerNotInitialized,
)
from pygls.protocol import LanguageServerProtocol, lsp_method

from lsp.documents import Documents
from lsp.next_edit import OpenNextEdits
from lsp.notebooks import Notebooks
from lsp.outcomes import OpenOutcomes
from lsp.repositories import OpenRepositories


class Protocol(LanguageServerProtocol):
    """The server's side of the conversation."""

    @property
    def exit_code(self) -> int:
        """What LSP wants an `exit` without `shutdown` before it to return is 1."""
        return 0 if self._shutdown else 1

    @property
    def _documents(self) -> Documents:
        return self._server.documents  # pyright: ignore[reportAttributeAccessIssue]

    @property
    def _repositories(self) -> OpenRepositories:
        return self._server.repositories  # pyright: ignore[reportAttributeAccessIssue]

    @property
    def _outcomes(self) -> OpenOutcomes:
        return self._server.outcomes  # pyright: ignore[reportAttributeAccessIssue]

    @property
    def _next_edits(self) -> OpenNextEdits:
        return self._server.next_edits  # pyright: ignore[reportAttributeAccessIssue]

    @property
    def _notebooks(self) -> Notebooks:
        return self._server.notebooks  # pyright: ignore[reportAttributeAccessIssue]

    @lsp_method(types.TEXT_DOCUMENT_DID_OPEN)
    def lsp_text_document__did_open(self, params: types.DidOpenTextDocumentParams) -> Any:
        before = self._documents.get(params.text_document.uri)
        if before is not None:  # opened again, with another text
            self._outcomes.closed(before)
        self._documents.open(params.text_document)
        document = self._documents.get(params.text_document.uri)
        if document is not None and document.is_file:
            self._repositories.opened(document)

    @lsp_method(types.TEXT_DOCUMENT_DID_CHANGE)
    def lsp_text_document__did_change(self, params: types.DidChangeTextDocumentParams) -> Any:
        document = self._documents.get(params.text_document.uri)
        if document is not None and document.is_file:
            self._repositories.changing(document)
            self._next_edits.changing(params.text_document.uri, document)
        told = document is not None and self._outcomes.follows(document)
        changes = self._documents.change(params.text_document, params.content_changes, told)
        if document is not None and changes:
            self._outcomes.changed(document, changes)

    @lsp_method(types.TEXT_DOCUMENT_DID_CLOSE)
    def lsp_text_document__did_close(self, params: types.DidCloseTextDocumentParams) -> Any:
        document = self._documents.get(params.text_document.uri)
        if document is not None and document.is_file:
            self._repositories.closed(document)
            self._outcomes.closed(document)
            self._next_edits.closed(document)
        self._documents.close(params.text_document.uri)

    @lsp_method(types.NOTEBOOK_DOCUMENT_DID_OPEN)
    def lsp_notebook_document__did_open(self, params: types.DidOpenNotebookDocumentParams) -> Any:
        self._notebooks.open(params)

    @lsp_method(types.NOTEBOOK_DOCUMENT_DID_CHANGE)
    def lsp_notebook_document__did_change(
        self, params: types.DidChangeNotebookDocumentParams
    ) -> Any:
        self._notebooks.change(params)

    @lsp_method(types.NOTEBOOK_DOCUMENT_DID_CLOSE)
    def lsp_notebook_document__did_close(self, params: types.DidCloseNotebookDocumentParams) -> Any:
        self._notebooks.close(params)

    @lsp_method(types.WORKSPACE_EXECUTE_COMMAND)
    async def lsp_workspace__execute_command(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, params: types.ExecuteCommandParams
    ) -> Any:
        """As pygls has it, but a request that is cancelled ends its command, too."""
        generator = super().lsp_workspace__execute_command(params)
        handler, arguments, named = next(generator)
        result = handler(*arguments, **named)
        return await result if inspect.isawaitable(result) else result

    def structure_message(self, data: dict[str, Any]) -> Any:
        try:
            return super().structure_message(data)
        except JsonRpcException as error:
            if "method" in data and "id" in data:
                self._refuse(data["id"], type(error)("Malformed parameters."))
            raise

    def handle_message(self, message: Any) -> None:
        method, request = getattr(message, "method", None), getattr(message, "id", None)
        if method is not None and request is not None:
            if self._workspace is None and method != types.INITIALIZE:
                self._refuse(request, JsonRpcServerNotInitialized())
                return
            if self._shutdown:
                self._refuse(request, JsonRpcInvalidRequest("The server is shutting down."))
                return
        super().handle_message(message)

    def _refuse(self, request: int | str, error: JsonRpcException) -> None:
        self._send_response(request, None, error.to_response_error())
