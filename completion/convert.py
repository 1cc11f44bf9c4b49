"""GGUF to a plain Hugging Face folder that transformers loads too.

Weights become float32: every value of the quantised formats GGUF knows is a small integer times
a half-precision scale plus a half-precision offset, which float32 holds exactly for the default
model (a test checks each number). So the folder is the reference that faster engines compare
with. Tensors are written one by one, so the memory needed is that of the largest.
"""

import json
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from gguf import GGUFReader, ReaderTensor
from gguf.quants import dequantize
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

from tandem.errors import ModelError

if TYPE_CHECKING:  # a bare GPU machine converts too, without what manifests need
    from completion.manifest import Progress

_CONTROL = 3  # GGUF's token type of a special token
_LAYER_TENSORS = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_TOP_TENSORS = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
}


def convert(gguf: Path, folder: Path, progress: "Progress") -> None:
    """Write config, weights and tokenizer of a Llama GGUF file into an existing folder.

    Raises ModelError if the file is no GGUF, or of another architecture or tokenizer.
    """
    try:
        reader = GGUFReader(gguf)
    except (OSError, ValueError, IndexError, KeyError) as error:
        raise ModelError(f"{gguf} is no readable GGUF file: {error}.") from error
    meta = _Metadata(reader)
    if meta("general.architecture") != "llama" or meta("tokenizer.ggml.pre") != "smollm":
        raise ModelError(
            f"{gguf.name}: cannot convert architecture {meta('general.architecture')} with "
            f"tokenizer {meta('tokenizer.ggml.pre')}.",
            "Use a Hugging Face folder of that model instead.",
        )
    tied = not any(tensor.name == "output.weight" for tensor in reader.tensors)
    _write_json(folder / "config.json", _config(meta, tied))
    _write_json(folder / "generation_config.json", _generation_config(meta))
    _write_json(folder / "tokenizer_config.json", _tokenizer_config(meta))
    _write_json(folder / "special_tokens_map.json", _special_tokens(meta))
    _tokenizer(meta).save(str(folder / "tokenizer.json"))
    _write_weights(reader, meta, folder / "model.safetensors", progress)


class _Metadata:
    """Look up a GGUF field; a missing one is a ModelError."""

    def __init__(self, reader: GGUFReader) -> None:
        self._reader = reader

    def __call__(self, name: str) -> Any:
        field = self._reader.get_field(name)
        if field is None:
            raise ModelError(f"The GGUF file lacks {name}.")
        return field.contents()

    def token(self, name: str) -> str:
        return self("tokenizer.ggml.tokens")[self(f"tokenizer.ggml.{name}_token_id")]


def _config(meta: _Metadata, tied: bool) -> dict[str, Any]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "hidden_size": meta("llama.embedding_length"),
        "intermediate_size": meta("llama.feed_forward_length"),
        "num_hidden_layers": meta("llama.block_count"),
        "num_attention_heads": meta("llama.attention.head_count"),
        "num_key_value_heads": meta("llama.attention.head_count_kv"),
        "head_dim": meta("llama.rope.dimension_count"),
        "max_position_embeddings": meta("llama.context_length"),
        "rms_norm_eps": _short(meta("llama.attention.layer_norm_rms_epsilon")),
        "rope_theta": _short(meta("llama.rope.freq_base")),
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": tied,
        "vocab_size": len(meta("tokenizer.ggml.tokens")),
        "bos_token_id": meta("tokenizer.ggml.bos_token_id"),
        "eos_token_id": meta("tokenizer.ggml.eos_token_id"),
        "pad_token_id": meta("tokenizer.ggml.padding_token_id"),
        "torch_dtype": "float32",
    }


def _generation_config(meta: _Metadata) -> dict[str, Any]:
    """A text may end as a chat turn does, or as a document of the pretraining did."""
    end_of_document = meta("tokenizer.ggml.unknown_token_id")  # <|endoftext|> plays both parts
    return {
        "bos_token_id": meta("tokenizer.ggml.bos_token_id"),
        "eos_token_id": [meta("tokenizer.ggml.eos_token_id"), end_of_document],
        "pad_token_id": meta("tokenizer.ggml.padding_token_id"),
    }


def _special_tokens(meta: _Metadata) -> dict[str, str]:
    return {
        "bos_token": meta.token("bos"),
        "eos_token": meta.token("eos"),
        "unk_token": meta.token("unknown"),
        "pad_token": meta.token("padding"),
    }


def _tokenizer_config(meta: _Metadata) -> dict[str, Any]:
    return {
        # Other classes make transformers rebuild the tokenizer and lose the digit rule.
        "tokenizer_class": "PreTrainedTokenizerFast",
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": meta("llama.context_length"),
        "chat_template": meta("tokenizer.chat_template"),
        **_special_tokens(meta),
    }


def _tokenizer(meta: _Metadata) -> Tokenizer:
    """Byte-level BPE that splits every digit off, as this family was trained with.

    Twenty-one bytes that the training text never had (some control characters, the lead bytes
    of unassigned planes) have no token; such characters vanish, as they do upstream.
    """
    tokens = meta("tokenizer.ggml.tokens")
    merges = [tuple(merge.split(" ", 1)) for merge in meta("tokenizer.ggml.merges")]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    kinds = meta("tokenizer.ggml.token_type")
    tokenizer.add_special_tokens(
        [
            AddedToken(token, special=True, normalized=False)
            for token, kind in zip(tokens, kinds, strict=True)
            if kind == _CONTROL
        ]
    )
    return tokenizer


def _write_weights(reader: GGUFReader, meta: _Metadata, file: Path, progress: "Progress") -> None:
    """Stream the tensors into one safetensors file: header length, JSON header, then bytes."""
    tensors = [(tensor_name(tensor.name), tensor) for tensor in reader.tensors]
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, tensor in tensors:
        shape = [int(n) for n in reversed(tensor.shape)]
        begin, end = end, end + 4 * int(np.prod(shape))
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    done = 0
    with file.open("wb") as stream:
        stream.write(struct.pack("<Q", len(text)) + text)
        for name, tensor in tensors:
            progress("convert", done, end)
            values = _values(tensor, meta).reshape(header[name]["shape"])
            stream.write(np.ascontiguousarray(values, dtype="<f4").data)
            done = header[name]["data_offsets"][1]
    progress("convert", end, end)


def _values(tensor: ReaderTensor, meta: _Metadata) -> np.ndarray:
    values = dequantize(tensor.data, tensor.tensor_type)
    if tensor.name.endswith("attn_q.weight"):
        return _unpermute(values, meta("llama.attention.head_count"))
    if tensor.name.endswith("attn_k.weight"):
        return _unpermute(values, meta("llama.attention.head_count_kv"))
    return values


def _unpermute(weight: np.ndarray, heads: int) -> np.ndarray:
    """Rows [heads, pairs, 2] to [heads, 2, pairs].

    llama.cpp rotates neighbouring rows, transformers a head's first half with its second, so
    the conversion to GGUF interleaved the halves.
    """
    pairs = weight.shape[0] // heads // 2
    return weight.reshape(heads, pairs, 2, -1).swapaxes(1, 2).reshape(weight.shape)


def tensor_name(gguf: str) -> str:
    """`blk.3.attn_q.weight` → `model.layers.3.self_attn.q_proj.weight`."""
    parts = gguf.split(".")
    if len(parts) == 4 and parts[0] == "blk" and parts[2] in _LAYER_TENSORS:
        return f"model.layers.{parts[1]}.{_LAYER_TENSORS[parts[2]]}.{parts[3]}"
    if len(parts) == 2 and parts[0] in _TOP_TENSORS:
        return f"{_TOP_TENSORS[parts[0]]}.{parts[1]}"
    raise ModelError(f"The GGUF file has a tensor that no Llama model has: {gguf}.")


def _short(value: float) -> float:
    """The shortest decimal that is the same float32: 1e-05, not 9.999999747378752e-06."""
    return float(str(np.float32(value)))


def _write_json(file: Path, value: dict[str, Any]) -> None:
    file.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
