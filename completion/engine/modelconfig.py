"""What a model folder's `config.json` says, as far as the engine needs it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from completion import families
from tandem.errors import ModelError


@dataclass(frozen=True)
class ModelConfig:
    """What `config.json` says, as far as the forward pass needs it."""

    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    hidden: int
    vocabulary: int
    norm_eps: float
    context: int
    rope_theta: float
    rope_scaling: dict[str, Any] = field(default_factory=dict)
    eos_ids: frozenset[int] = frozenset()

    @classmethod
    def load(cls, folder: Path) -> "ModelConfig":
        """Raises ModelError for a family or a rotary scaling that we do not run."""
        raw = families.read_json(folder / "config.json")
        architecture = (raw.get("architectures") or ["?"])[0]
        if architecture not in families.FAMILIES:
            raise ModelError(
                f"{folder}: the architecture {architecture} cannot run in the embedded engine.",
                "Serve it with another server and run: tandem models use URL",
            )
        # transformers 5 moved the rotary settings into one group; files of both kinds exist.
        rope = raw.get("rope_parameters") or raw.get("rope_scaling") or {}
        kind = rope.get("rope_type") or rope.get("type") or "default"
        if kind not in ("default", "linear", "llama3"):
            raise ModelError(
                f"{folder}: rotary scaling '{kind}' is not supported by the embedded engine.",
                "Serve it with another server and run: tandem models use URL",
            )
        eos = raw.get("eos_token_id")
        generation = folder / "generation_config.json"
        if generation.exists():
            eos = families.read_json(generation).get("eos_token_id", eos)
        heads = raw["num_attention_heads"]
        return cls(
            layers=raw["num_hidden_layers"],
            heads=heads,
            kv_heads=raw.get("num_key_value_heads") or heads,
            head_dim=raw.get("head_dim") or raw["hidden_size"] // heads,
            hidden=raw["hidden_size"],
            vocabulary=raw["vocab_size"],
            norm_eps=raw["rms_norm_eps"],
            context=raw["max_position_embeddings"],
            rope_theta=float(rope.get("rope_theta") or raw.get("rope_theta") or 10_000.0),
            rope_scaling={**rope, "rope_type": kind},
            eos_ids=frozenset([eos] if isinstance(eos, int) else eos or []),
        )
