"""The sections of the settings, each field with its default, its limits and its meaning.

In CompletionConfig an untrusted repository may turn each field towards less: a smaller number, a
longer list of what is left alone, false, or for what keeps suggestions away (RESTRAINTS) true.
In AgentConfig it may ask more often, forbid more, and shorten the lists of what is free (FREEDOMS).
"""

import json
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, field_validator

RESTRAINTS = frozenset({"gate", "debounce", "display_gate", "cut_unsure"})
FREEDOMS = frozenset({"allowed", "commands"})
STRICTER = ("final", "commands", "each")  # each asks for more than the one before it


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", validate_default=True)


def _plain_globs(globs: list[str]) -> list[str]:
    """A pattern that takes another one back would let the repository's list undo the user's."""
    if any(not glob.strip() or glob.lstrip()[0] in "!#" for glob in globs):
        raise ValueError("a pattern here names files; it may not be empty, or begin with ! or #")
    return globs


Globs = Annotated[list[str], AfterValidator(_plain_globs)]


class EngineConfig(Section):
    """The embedded engine."""

    dtype: Literal["auto", "float32", "bfloat16", "int8"] = Field(
        default="auto", description="Width of the weights; auto chooses by CPU and compiler."
    )
    device: Literal["cpu", "cuda"] = Field(
        default="cpu", description="cuda: bfloat16 on an NVIDIA GPU, one sequence at a time."
    )
    threads: int = Field(default=0, ge=0, le=256, description="Compute threads; 0 means all cores.")
    context: int = Field(
        default=2048, ge=128, le=131_072, description="Longest prompt + answer, tokens."
    )
    speculation: bool = Field(
        default=True, description="Verify guessed tokens in one pass; same text, sooner."
    )
    cache_mb: int = Field(
        default=64, ge=1, le=65_536, description="Memory for cached prompts; one always fits."
    )
    adapters: Literal["merged", "beside"] = Field(
        default="merged",
        description="merged: adapters cost no time; beside: little memory, mixed in one pass.",
    )
    adapter_folder: str = Field(
        default="",
        description="Adapters may be loaded at run time from below it; empty: your gateway's.",
    )
    batch: int = Field(
        default=8, ge=1, le=64, description="Requests that share one pass over the weights."
    )
    queue: int = Field(default=16, ge=1, le=1024, description="Waiting requests before 429.")
    idle_minutes: float = Field(
        default=30.0,
        gt=0,
        description="A background engine ends itself after this long without work.",
    )


class CompletionConfig(Section):
    """Ghost text."""

    enabled: bool = Field(default=True, description="Off means: never ask the model.")
    disabled_languages: list[str] = Field(
        default_factory=list, description="Language ids without suggestions, e.g. markdown."
    )
    disabled_paths: list[str] = Field(
        default_factory=list,
        description="Files without suggestions, as in .gitignore, e.g. `*.min.js` or `/vendor/`.",
    )
    trigger: Literal["automatic", "manual"] = Field(
        default="automatic", description="manual: only when you ask for a suggestion."
    )
    in_comments: bool = Field(default=False, description="Also suggest while a comment is typed.")
    in_strings: bool = Field(default=False, description="Also suggest while a string is typed.")
    with_popup: bool = Field(
        default=False, description="Also suggest while the editor's own list of names is open."
    )
    gate: bool = Field(
        default=True,
        description="Ask nothing where nobody accepts: in a word, after undo, paste, rejections.",
    )
    debounce: bool = Field(
        default=True, description="Wait for a pause, as long as your own rhythm says."
    )
    cache: bool = Field(
        default=True, description="Answer from what is known, also after typing on or back."
    )
    prefetch: bool = Field(
        default=True, description="Have what follows a shown suggestion ready before it is taken."
    )
    candidates: int = Field(
        default=1, ge=1, le=8, description="Answers to choose the best from for each suggestion."
    )
    memory: bool = Field(
        default=False, description="Mix what this repository often writes into the model's guess."
    )
    display_gate: bool = Field(
        default=True, description="Hide what you would hardly accept, as your own choices tell."
    )
    cut_unsure: bool = Field(
        default=True,
        description="Show a suggestion in likely parts: one up to where it may go wrong, then the rest.",
    )
    next_edit: bool = Field(
        default=True, description="After a change, suggest the next place that it implies."
    )
    max_tokens: int = Field(default=64, ge=1, le=1024, description="Longest suggestion, in tokens.")
    max_lines: int = Field(default=12, ge=1, le=200, description="Longest suggestion, in lines.")
    prompt_tokens: int = Field(
        default=512, ge=32, le=65_536, description="Token budget of the prompt: prefix and suffix."
    )
    context_tokens: int = Field(
        default=320,
        ge=0,
        le=65_536,
        description="Token budget for pieces of other files, besides `prompt_tokens`; 0: none.",
    )
    timeout_ms: int = Field(
        default=10_000, ge=100, description="Stop waiting for the model after this long."
    )


class SandboxConfig(Section):
    """Containers that run what nobody has to trust."""

    memory_mb: int = Field(
        default=1024, ge=128, le=1_048_576, description="Memory of one sandbox, its files included."
    )
    cpus: float = Field(default=1.0, gt=0, le=256, description="Cores that one sandbox may use.")
    timeout_s: float = Field(
        default=60.0, gt=0, le=86_400, description="A command that takes longer is killed."
    )


class ChatConfig(Section):
    """The model that answers questions and drives `tandem fix --agent`."""

    endpoint: str = Field(
        default="",
        description="An OpenAI-compatible chat server; empty means what completes: `endpoint`, or "
        "the embedded engine.",
    )
    model: str = Field(
        default="", description="Its model; empty means the first that it serves, or `model`."
    )
    token: SecretStr = Field(default=SecretStr(""), description="Bearer token for it.")
    token_env: str = Field(
        default="", description="An environment variable that holds the token, if `token` is empty."
    )
    planner: str = Field(default="", description="Model that plans for the agent; empty: `model`.")
    executor: str = Field(default="", description="Model that acts for the agent; empty: `model`.")
    actions: bool = Field(
        default=True,
        description="Offer explain, document, tests and fix among the editor's code actions.",
    )
    tools: Literal["auto", "native", "prompt"] = Field(
        default="auto",
        description="How a model calls tools; auto: in the prompt where the server has none.",
    )
    temperature: float = Field(default=0.0, ge=0, le=2, description="0: always the likeliest.")
    max_tokens: int = Field(default=1024, ge=1, le=131_072, description="Longest answer, tokens.")
    context: int = Field(
        default=0, ge=0, description="Its context in tokens; 0: as it tells, or 8,192."
    )
    timeout_s: float = Field(
        default=120.0, gt=0, description="Limit for one answer, its retries included."
    )
    prices: dict[str, tuple[float, float]] = Field(
        default_factory=dict,
        description="By model: what a million prompt tokens and a million answer tokens cost.",
    )

    @field_validator("prices", mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        """A variable of the environment has them as JSON."""
        return json.loads(value) if isinstance(value, str) else value


class AgentConfig(Section):
    """What an agent may do without a word from you."""

    approve: Literal["each", "commands", "final"] = Field(
        default="final",
        description="Ask before each step, before commands, or for the patch. Rules ask besides.",
    )
    allowed: Globs = Field(
        default_factory=list,
        description="Files that an agent may change, as in .gitignore; empty means any.",
    )
    protected: Globs = Field(
        default_factory=list, description="Files that no agent may change, as in .gitignore."
    )
    commands: list[str] = Field(
        default_factory=list,
        description="Beginnings of commands that run without a question, e.g. `python -m pytest`.",
    )
    refused: list[str] = Field(
        default_factory=list, description="Beginnings of commands that never run, e.g. `make`."
    )
