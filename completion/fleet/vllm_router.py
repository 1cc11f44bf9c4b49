"""Ray Serve LLM's router for vLLM replicas, and what it lacks: prompts without a text.

It keeps a tree of prompts' texts. A prompt of token ids has none, and Ray 2.60 then divides by its
length: such a request never gets an answer.
"""

from typing import Any

from ray.serve.llm.request_router import (  # pyright: ignore[reportMissingImports]
    PrefixCacheAffinityRouter,
)


class TextRouter(PrefixCacheAffinityRouter):
    """Token ids are written out, so that they share beginnings as texts do."""

    def _normalize_prompt_to_string(self, prompt: Any) -> str:
        if isinstance(prompt, list) and any(isinstance(part, int | list) for part in prompt):
            prompt = " ".join(str(part) for part in prompt)
        return super()._normalize_prompt_to_string(prompt) or " "
