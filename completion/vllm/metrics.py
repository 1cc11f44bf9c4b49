"""What vLLM counts, read from its `/metrics` (Prometheus text)."""

import re
from dataclasses import dataclass

_LINE = re.compile(r"^(vllm:\w+)(?:\{[^}]*\})? (\S+)$")
_NAMES = {
    "running": "vllm:num_requests_running",
    "waiting": "vllm:num_requests_waiting",
    "drafts": "vllm:spec_decode_num_drafts_total",
    "drafted": "vllm:spec_decode_num_draft_tokens_total",
    "accepted": "vllm:spec_decode_num_accepted_tokens_total",
    "prefix_queries": "vllm:prefix_cache_queries_total",
    "prefix_hits": "vllm:prefix_cache_hits_total",
    "prompt": "vllm:prompt_tokens_total",
    "written": "vllm:generation_tokens_total",
}


@dataclass(frozen=True)
class Counts:
    """Sums over its engines. Requests now; all others tokens, but `drafts`, since its start."""

    running: float = 0
    waiting: float = 0
    drafts: float = 0
    drafted: float = 0
    accepted: float = 0
    prefix_queries: float = 0
    prefix_hits: float = 0
    prompt: float = 0
    written: float = 0

    @property
    def idle(self) -> bool:
        return not self.running and not self.waiting

    @property
    def read(self) -> float:
        """Tokens of prompts that were computed, of cancelled requests as well; all of an answered
        request's prompt where nothing is cached."""
        return self.prefix_queries - self.prefix_hits if self.prefix_queries else self.prompt


def read(text: str) -> Counts:
    """Lines that are none of ours, or no number, are passed over."""
    sums: dict[str, float] = {}
    for line in text.splitlines():
        if found := _LINE.match(line):
            try:
                sums[found[1]] = sums.get(found[1], 0.0) + float(found[2])
            except ValueError:
                continue
    return Counts(**{field: sums.get(name, 0.0) for field, name in _NAMES.items()})
