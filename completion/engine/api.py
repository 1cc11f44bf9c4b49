"""OpenAI's request and error shapes, as far as the embedded engine serves them.

Types are strict: a field of a wrong type is an error that names it. Fields we do not know are
ignored, as other compatible servers do. Fields we know but cannot honour are refused when they
ask for something, because an answer that quietly left it out would be wrong. Ours alone are
memories, `heal` and `tandem` in a request, `capabilities`, `context_length` and `fim_template` of a
model, and the object `tandem` in usage. `cache_salt` is vLLM's.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError

from completion.engine.answers import UsageIn
from completion.engine.request import CHAT, FIRST, LAST, Request

MAX_STOPS = 32
MAX_ANSWERS = 8
# As OpenAI: of the completions, and of a chat.
MAX_LOGPROBS, MAX_CHAT_LOGPROBS = 5, 20
MAX_PREDICTION = 200_000
MAX_FILES = 4096
MAX_MODEL = 512
MEMORY_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}"
ADAPTER_NAME = f"^{MEMORY_NAME}$"
# Below this the softmax of temperature sampling overflows; the limit of temperature 0 is greedy.
_COLDEST = 1e-3


class ApiError(Exception):
    """An answer other than 200. `param` names the field at fault, `code` is for programs."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.code = code
        self.headers = headers or {}

    def body(self) -> dict[str, Any]:
        """The JSON body, in OpenAI's error shape."""
        kind = _TYPES.get(self.status, "server_error" if self.status >= 500 else _TYPES[400])
        error = {"message": self.message, "type": kind, "param": self.param, "code": self.code}
        return {"error": error}


_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    429: "rate_limit_error",
}


def _one_prompt(value: Any) -> Any:
    """A list of one prompt is that prompt; several are told apart from a wrong type."""
    if isinstance(value, list) and value and isinstance(value[0], str | list):
        if len(value) > 1:
            raise ValueError("only one prompt a request is supported")
        value = value[0]
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(type(token) is int for token in value):
        return value
    raise ValueError("must be a string or a list of token ids")


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _refused_unless(*harmless: Any) -> AfterValidator:
    """For fields we know and cannot honour: only values that ask for nothing may pass."""

    def check(value: Any) -> Any:
        if value is not None and value not in harmless:
            raise ValueError("is not supported by this server")
        return value

    return AfterValidator(check)


Stop = Annotated[
    list[Annotated[str, StringConstraints(min_length=1, max_length=1024)]],
    BeforeValidator(_as_list),
    Field(max_length=MAX_STOPS),
]


class _Body(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")


class StreamOptions(_Body):
    include_usage: bool = False
    continuous_usage_stats: bool = False  # vLLM's name for usage in every event


class TextPart(_Body):
    type: Literal["text"]
    text: str


def _as_parts(value: Any) -> Any:
    """One form instead of two, so that an error names the part at fault, not a union's branch."""
    return [TextPart(type="text", text=value)] if isinstance(value, str) else value


class Prediction(_Body):
    """Text that the answer will be much like: OpenAI's predicted outputs."""

    type: Literal["content"]
    content: Annotated[list[TextPart], BeforeValidator(_as_parts)]

    @property
    def text(self) -> str:
        return "".join(part.text for part in self.content)[:MAX_PREDICTION]


class Remembered(_Body):
    """A memory to mix in; `weight` 0 leaves it out, 1 is as fitted."""

    name: str = Field(pattern=f"^{MEMORY_NAME}$")
    weight: float = Field(1.0, ge=0, le=4, allow_inf_nan=False)


class Tandem(_Body):
    """What OpenAI has no field for. See `Request`."""

    memory: Remembered | None = None

    document: str = Field(default="", max_length=4096)
    priority: int | None = Field(default=None, ge=FIRST, le=LAST)


class _Sampling(_Body):
    """What both kinds of request share."""

    model: str | None = Field(None, max_length=MAX_MODEL)
    temperature: float | None = Field(None, ge=0, le=2, allow_inf_nan=False)
    top_p: float | None = Field(None, gt=0, le=1, allow_inf_nan=False)
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    stop: Stop | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: int | None = Field(None, ge=1, le=MAX_ANSWERS)
    prediction: Prediction | None = None
    cache_salt: str | None = Field(None, min_length=1, max_length=256)
    tandem: Tandem = Field(default_factory=Tandem)

    @property
    def answers(self) -> int:
        """How many answers are wanted."""
        return self.n or 1

    @property
    def streams(self) -> bool:
        return bool(self.stream)

    @property
    def usage_in(self) -> UsageIn:
        options = self.stream_options
        if options is None or not options.include_usage:
            return "none"
        return "every event" if options.continuous_usage_stats else "last event"

    def _request(
        self,
        prompt: Sequence[int],
        context: int,
        max_tokens: int | None,
        adapter: str,
        heal: str = "",
        logprobs: int | None = None,
        priority: int = FIRST,
    ) -> Request:
        room = context - len(prompt)
        if room < 1:
            raise ApiError(
                400,
                f"The prompt has {len(prompt)} tokens and leaves no room for an answer: "
                f"this model's context is {context} tokens.",
                param="prompt" if isinstance(self, CompletionRequest) else "messages",
                code="context_length_exceeded",
            )
        temperature = 1.0 if self.temperature is None else self.temperature
        return Request(
            prompt=tuple(prompt),
            max_tokens=room if max_tokens is None else min(max_tokens, room),
            temperature=0.0 if temperature < _COLDEST else temperature,
            top_p=1.0 if self.top_p is None else self.top_p,
            seed=self.seed,
            stop=tuple(self.stop or ()),
            heal=heal,
            adapter=adapter,
            prediction=self.prediction.text if self.prediction else "",
            logprobs=logprobs,
            n=self.answers,
            document=self.tandem.document,
            priority=priority if self.tandem.priority is None else self.tandem.priority,
            salt=self.cache_salt or "",
        )


class CompletionRequest(_Sampling):
    """POST /v1/completions."""

    prompt: Annotated[str | list[int], BeforeValidator(_one_prompt)]
    max_tokens: int | None = Field(None, ge=1)
    heal: str = Field("", max_length=1024)
    echo: Annotated[bool | None, _refused_unless(False)] = None
    suffix: Annotated[str | None, _refused_unless("")] = None
    logprobs: int | None = Field(None, ge=0, le=MAX_LOGPROBS)
    best_of: Annotated[int | None, _refused_unless(1)] = None

    def request(self, prompt: Sequence[int], context: int, adapter: str = "") -> Request:
        """For the engine. `prompt` is ours in token ids; raises ApiError if it does not fit."""
        limit = self.max_tokens or 16
        return self._request(prompt, context, limit, adapter, self.heal, self.logprobs)


class Message(_Body):
    role: Literal["system", "developer", "user", "assistant"]
    content: Annotated[list[TextPart], BeforeValidator(_as_parts)]

    def plain(self) -> dict[str, str]:
        """For chat templates, which know neither parts nor the developer's role."""
        role = "system" if self.role == "developer" else self.role
        return {"role": role, "content": "".join(part.text for part in self.content)}


class ChatRequest(_Sampling):
    """POST /v1/chat/completions."""

    messages: list[Message] = Field(min_length=1, max_length=4096)
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=MAX_CHAT_LOGPROBS)
    tools: Annotated[list[Any] | None, _refused_unless([])] = None
    response_format: Annotated[dict[str, Any] | None, _refused_unless({"type": "text"})] = None

    def request(self, prompt: Sequence[int], context: int, adapter: str = "") -> Request:
        """For the engine. `prompt` is the rendered conversation in token ids."""
        limit = self.max_completion_tokens or self.max_tokens
        wanted = (self.top_logprobs or 0) if self.logprobs else None
        return self._request(prompt, context, limit, adapter, "", wanted, CHAT)

    @model_validator(mode="after")
    def _top_of_something(self) -> "ChatRequest":
        if self.top_logprobs is not None and not self.logprobs:
            raise PydanticCustomError("top_logprobs", "top_logprobs: needs logprobs")
        return self


class MemoryFile(_Body):
    path: str = Field(min_length=1, max_length=4096)
    text: str


class MemoryUpdate(_Body):
    """PUT /v1/tandem/memory/NAME: files as they are now, and paths of those that are no more."""

    files: list[MemoryFile] = Field(default_factory=list, max_length=MAX_FILES)
    drop: list[str] = Field(default_factory=list, max_length=MAX_FILES)


class LoadAdapter(_Body):
    """POST /v1/load_lora_adapter, as vLLM has it."""

    lora_name: str = Field(pattern=ADAPTER_NAME)
    lora_path: str = Field(min_length=1, max_length=4096)


class UnloadAdapter(_Body):
    """POST /v1/unload_lora_adapter."""

    lora_name: str = Field(pattern=ADAPTER_NAME)


# Errors of fields that do not go together carry the name of the one at fault as their type.
_ACROSS_FIELDS = {"top_logprobs"}
B = TypeVar("B", CompletionRequest, ChatRequest, MemoryUpdate, LoadAdapter, UnloadAdapter)


def parse(kind: type[B], body: bytes) -> B:
    """Raises ApiError (400) naming the first field that is wrong."""
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        if first["type"] == "json_invalid":
            raise ApiError(400, f"The body is not valid JSON: {first['msg']}.") from None
        if first["type"] in _ACROSS_FIELDS:
            raise ApiError(400, first["msg"], param=first["type"], code="value_error") from None
        field = ".".join(str(part) for part in first["loc"])
        if not field:
            raise ApiError(400, "The body must be a JSON object.") from None
        reason = first["msg"].removeprefix("Value error, ")
        raise ApiError(400, f"{field}: {reason}.", param=field, code=first["type"]) from None
