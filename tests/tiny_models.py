"""Small random models of each family, saved by transformers: the engine's reference."""

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
)

SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
_SHAPE: dict[str, Any] = {
    "vocab_size": 512,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "eos_token_id": 0,
    "bos_token_id": 0,
}
_LLAMA3_ROPE: dict[str, Any] = {
    "rope_type": "llama3",
    "rope_theta": 500_000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
EVEN = {
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_attention_heads": 4,
    "head_dim": 32,
    "tie_word_embeddings": False,
}
# A file of its own, so that a change here changes no token of the tests' prompts.
CORPUS = Path(__file__).parent / "tiny_corpus.txt"
VARIANTS = {
    "llama tied": lambda: LlamaForCausalLM(LlamaConfig(**_SHAPE, tie_word_embeddings=True)),
    "llama untied": lambda: LlamaForCausalLM(LlamaConfig(**_SHAPE, tie_word_embeddings=False)),
    "llama wide heads": lambda: LlamaForCausalLM(LlamaConfig(**_SHAPE, head_dim=16)),
    # The narrowest that vLLM has on a CPU.
    "llama 32 wide heads": lambda: LlamaForCausalLM(LlamaConfig(**_SHAPE, head_dim=32)),
    "llama3 rotary": lambda: LlamaForCausalLM(LlamaConfig(**_SHAPE, rope_parameters=_LLAMA3_ROPE)),
    "llama linear rotary": lambda: LlamaForCausalLM(
        LlamaConfig(
            **_SHAPE, rope_parameters={"rope_type": "linear", "rope_theta": 1e4, "factor": 4.0}
        )
    ),
    "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(**_SHAPE)),
}

# For vLLM alone: sizes that its kernels of quantised weights take.
OTHERS = {"llama even": lambda: LlamaForCausalLM(LlamaConfig(**_SHAPE | EVEN))}


def make(
    folder: Path, variant: str, shard_size: str = "10GB", context: int = 256
) -> PreTrainedModel:
    """Save a random model and a tokenizer trained on CORPUS; return transformers' own."""
    torch.manual_seed(0)
    model = (VARIANTS | OTHERS)[variant]().eval()
    model.config.max_position_embeddings = context
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            # Norms start at one and biases at zero: a forward pass that left them out would pass.
            if "norm" in name or "bias" in name:
                parameter.add_(torch.randn_like(parameter) * 0.3)
            else:
                parameter.mul_(6)
    model.save_pretrained(folder, max_shard_size=shard_size)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=512,
        special_tokens=SPECIALS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(CORPUS.read_text("utf-8").splitlines(True), trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": SPECIALS[0]}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return model
