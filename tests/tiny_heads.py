"""A head as EAGLE-3 has it for the tiny model: one layer that nobody trained."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import PreTrainedModel


def make(folder: Path, model: PreTrainedModel) -> None:
    """Its guesses are as good as any: what it must not do is change a text."""
    folder.mkdir()
    torch.manual_seed(1)
    config = model.config
    wide, inner = config.hidden_size, config.intermediate_size
    heads = config.num_attention_heads * config.head_dim
    keys = config.num_key_value_heads * config.head_dim
    shapes = {
        "fc.weight": (wide, 3 * wide),
        "midlayer.self_attn.q_proj.weight": (heads, 2 * wide),
        "midlayer.self_attn.k_proj.weight": (keys, 2 * wide),
        "midlayer.self_attn.v_proj.weight": (keys, 2 * wide),
        "midlayer.self_attn.o_proj.weight": (wide, heads),
        "midlayer.mlp.gate_proj.weight": (inner, wide),
        "midlayer.mlp.up_proj.weight": (inner, wide),
        "midlayer.mlp.down_proj.weight": (wide, inner),
        "lm_head.weight": (config.vocab_size, wide),
    }
    tensors = {name: torch.randn(shape) * 0.1 for name, shape in shapes.items()}
    for name in ("input_layernorm", "hidden_norm", "post_attention_layernorm"):
        tensors[f"midlayer.{name}.weight"] = torch.ones(wide)
    tensors["norm.weight"] = torch.ones(wide)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    told = json.loads(config.to_json_string())
    told |= {"architectures": ["LlamaForCausalLMEagle3"], "num_hidden_layers": 1}
    told["draft_vocab_size"] = config.vocab_size
    (folder / "config.json").write_text(json.dumps(told))
