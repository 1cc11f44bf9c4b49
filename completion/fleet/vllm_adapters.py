"""In Ray's workers: adapters on vLLM replicas, by their own names and from the disk.

Ray Serve LLM 2.60 multiplexes adapters of a bucket, which it names `model:adapter`: a request for
one goes to a replica that has it, and a replica loads what it lacks. These classes have it take
the adapters of our listing. There an adapter is called `model:ID`, by an identity that is its
weights' own: what changed is another one, and nothing that was cached of the old one is used.
"""

from collections.abc import AsyncIterator
from typing import Any

from ray.llm._internal.serve.core.configs.llm_config import (  # pyright: ignore[reportMissingImports]
    DiskMultiplexConfig,
)
from ray.llm._internal.serve.core.configs.openai_api_models import (  # pyright: ignore[reportMissingImports]
    OpenAIHTTPException,
)
from ray.llm._internal.serve.core.ingress.ingress import (  # pyright: ignore[reportMissingImports]
    OpenAiIngress,
)
from ray.llm._internal.serve.core.server.llm_server import (  # pyright: ignore[reportMissingImports]
    LLMServer,
)
from ray.llm._internal.serve.utils.lora_serve_utils import (  # pyright: ignore[reportMissingImports]
    LoraModelLoader,
)
from starlette.responses import JSONResponse

from completion.fleet.listing import SETTING, Listing


class Unusable(Exception):
    """Of a replica; what it says is for the client."""


class Loader(LoraModelLoader):
    """Of one replica. `loads` of its settings is how many it may have in all, 0 for any number:
    on a CPU the last slot has to stay empty (`completion.vllm.command.slots`), and vLLM gives none
    back."""

    async def load_model_from_config(
        self, lora_model_id: str, llm_config: Any
    ) -> DiskMultiplexConfig:
        if lora_model_id in self.disk_cache:
            return self.disk_cache[lora_model_id]
        told = llm_config.experimental_configs[SETTING]
        row = Listing(told["file"]).by_id(lora_model_id.partition(":")[2])
        if row is None:
            raise Unusable("The adapter has just changed. Try again.")
        if told["loads"] and len(self.disk_cache) >= told["loads"]:
            raise Unusable("This replica has no room for another adapter: adapters.each")
        found = DiskMultiplexConfig(
            model_id=lora_model_id,
            max_total_tokens=None,
            local_path=str(row.folder),
            lora_assigned_int_id=len(self.disk_cache) + 1,
        )
        self.disk_cache[lora_model_id] = found
        return found


class Replica(LLMServer):
    """vLLM, with that loader."""

    def _init_multiplex_loader(self, model_downloader_cls: Any = None) -> None:
        super()._init_multiplex_loader(Loader)


class Ingress(OpenAiIngress):
    """Takes and tells adapters by the names of the listing in `file`, and errors in plain words.
    `context` is how many tokens a request may have, 0 if that is vLLM's to say."""

    def __init__(
        self, llm_deployments: Any, model_cards: Any, *, file: str, context: int, **options: Any
    ) -> None:
        super().__init__(llm_deployments, model_cards, **options)
        [self._base] = model_cards
        self._listing = Listing(file)
        self._context = context

    async def models(self) -> Any:
        """Rows as vLLM's own."""
        more = {"max_model_len": self._context} if self._context else {}
        row = {"object": "model", "owned_by": "vllm", **more}
        rows = [{"id": self._base, "root": self._base, "parent": None, **row}]
        for name, one in sorted(self._listing.rows.items()):
            rows.append({"id": name, "root": one.id, "parent": self._base, **row})
        return JSONResponse({"object": "list", "data": rows})

    async def _process_llm_request(self, *arguments: Any, **options: Any) -> Any:
        """Ray's text of an error has its request's number, its Python class, and itself again."""
        try:
            return await super()._process_llm_request(*arguments, **options)
        except OpenAIHTTPException as error:
            told = {"message": error.message, "type": error.type, "code": error.status_code}
            return JSONResponse({"error": {**told, "param": None}}, error.status_code)

    async def _get_response(
        self, *, body: Any, call_method: str, raw_request: Any = None
    ) -> AsyncIterator[Any]:
        name = body.model or self._base
        if name == self._base:
            inside = name
        elif (found := self._listing.rows.get(name)) is not None:
            inside = f"{self._base}:{found.id}"
            body = body.model_copy(update={"model": inside})
        else:
            raise OpenAIHTTPException(404, f"There is no model {name}.", "NotFoundError")
        answers = super()._get_response(body=body, call_method=call_method, raw_request=raw_request)
        try:
            async for answer in answers:
                yield _renamed(answer, inside, name)
        except Unusable as error:  # Ray's own, which holds ours; as text it is a traceback
            cause = getattr(error, "cause", error)
            raise OpenAIHTTPException(409, str(cause), "AdapterError") from None


def _renamed(answer: Any, inside: str, name: str) -> Any:
    """An answer, an event, or several: with the name that was asked for."""
    if inside == name:
        return answer
    if isinstance(answer, list):
        return [_renamed(one, inside, name) for one in answer]
    if isinstance(answer, str):  # in a text of its own the quotes would be escaped
        return answer.replace(f'"model":"{inside}"', f'"model":"{name}"')
    if getattr(answer, "model", None) == inside:
        return answer.model_copy(update={"model": name})
    return answer
