"""An encoder for tests of data: a token a byte and the template's own sentinels."""

import functools

import tokenizers
from tokenizers import AddedToken, decoders, models, pre_tokenizers

from completion.engine.tokenizer import Tokenizer
from completion.templates import for_model
from finetune.samples import END, Encoder


@functools.cache
def byte_encoder() -> Encoder:
    template = for_model("tandem-135m")
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {symbol: number for number, symbol in enumerate(alphabet)}
    backend = tokenizers.Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    words = dict.fromkeys([*template.sentinels, *template.specials, *template.kinds.values(), END])
    backend.add_special_tokens([AddedToken(w, special=True, normalized=False) for w in words])
    return Encoder(Tokenizer(backend, {}), template, END)
