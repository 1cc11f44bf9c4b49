"""Text to token ids and back, by bytes.

A token stands for a byte string; a text is the concatenation of its tokens' bytes. Knowing the
bytes makes streaming exact (a character may be split over tokens) and lets `sample.Healer`
constrain tokens to text.
"""

import bisect
import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from tandem.errors import EngineError, ModelError

# Sets of ids that spell something; the largest takes 200 kB.
REMEMBERED = 32
_BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")


class Tokenizer:
    """A model folder's `tokenizer.json`, its special tokens and its chat template."""

    def __init__(self, backend: tokenizers.Tokenizer, settings: Mapping[str, Any]) -> None:
        self._backend = backend
        self._settings = settings
        self._chat_template: str = settings.get("chat_template") or ""

    @classmethod
    def load(cls, folder: Path) -> "Tokenizer":
        """Raises ModelError if the folder has no readable tokenizer."""
        file = folder / "tokenizer.json"
        try:
            backend = tokenizers.Tokenizer.from_file(str(file))
        except Exception as error:  # the library raises bare Exception
            raise ModelError(f"Cannot read {file}: {error}.", "Pull the model again.") from error
        settings_file = folder / "tokenizer_config.json"
        settings = json.loads(settings_file.read_text("utf-8")) if settings_file.exists() else {}
        template_file = folder / "chat_template.jinja"
        if template_file.exists():
            settings["chat_template"] = template_file.read_text("utf-8")
        return cls(backend, settings)

    def encode(self, text: str, begin: bool = False) -> list[int]:
        """Token ids of a text. Special tokens written out in it become those tokens.

        `begin` puts the family's begin token in front, where the tokenizer's file says that it
        has one: for a whole prompt, not for a piece of text or a rendered chat.
        """
        return self._backend.encode(text, add_special_tokens=begin).ids

    def least(self, text: str) -> int:
        """No fewer tokens than this are in a text, at once: to read it takes microseconds a byte."""
        return -(-len(text.encode("utf-8", "replace")) // self._longest)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of token ids; special tokens have none."""
        return b"".join(map(self.bytes_at, ids)).decode("utf-8", "replace")

    def count(self, text: str) -> int:
        return len(self.encode(text))

    def name_of(self, token: int) -> str:
        """How the vocabulary spells a token; that of a special token encodes to it."""
        return self._backend.id_to_token(token) or ""

    @cached_property
    def special_ids(self) -> frozenset[int]:
        """Tokens that mark structure: none of them may reach the user, each ends an answer."""
        added = self._backend.get_added_tokens_decoder()
        return frozenset(i for i, token in added.items() if token.special)

    @cached_property
    def bytes_of(self) -> list[bytes]:
        """For each token id the bytes it stands for; b"" for special tokens."""
        vocabulary = self._backend.get_vocab(with_added_tokens=True)
        added = self._backend.get_added_tokens_decoder()
        to_bytes = _byte_level if self._is_byte_level() else _sentence_piece
        table = [b""] * (max(vocabulary.values()) + 1)
        for token, i in vocabulary.items():
            if i in added:
                table[i] = b"" if added[i].special else token.encode()
            else:
                table[i] = to_bytes(token)
        return table

    def bytes_at(self, token: int) -> bytes:
        """Models pad their vocabulary with ids that no token has; they stand for nothing."""
        return self.bytes_of[token] if token < len(self.bytes_of) else b""

    def ids_consistent_with(self, wanted: bytes) -> np.ndarray:
        """Tokens that begin with `wanted`, or that `wanted` begins with: ids [n], rising.

        Of equally likely ones the first is picked, as without a constraint.
        """
        assert wanted
        return self._consistent(wanted)

    @cached_property
    def _longest(self) -> int:
        """Bytes of a text that one token may take."""
        added = self._backend.get_added_tokens_decoder().values()
        spelled = [len(token.content.encode()) for token in added]
        return max([1, *map(len, self.bytes_of), *spelled])

    @cached_property
    def _sorted(self) -> tuple[list[bytes], np.ndarray]:
        """The bytes of all tokens that stand for some, in order, and their ids [n]."""
        table = sorted((data, i) for i, data in enumerate(self.bytes_of) if data)
        return [data for data, _ in table], np.array([i for _, i in table], np.int64)

    @cached_property
    def _consistent(self) -> Callable[[bytes], np.ndarray]:
        """With each key the same few beginnings are asked for; a space begins half of all."""
        return lru_cache(REMEMBERED)(self._find_consistent)

    def _find_consistent(self, wanted: bytes) -> np.ndarray:
        table, ids = self._sorted
        found = []
        for end in range(1, len(wanted)):
            begin = wanted[:end]
            found.append(ids[bisect.bisect_left(table, begin) : bisect.bisect_right(table, begin)])

        def start(data: bytes) -> bytes:
            return data[: len(wanted)]

        first = bisect.bisect_left(table, wanted)
        found.append(ids[first : bisect.bisect_right(table, wanted, lo=first, key=start)])
        return np.sort(np.concatenate(found))

    def chat(self, messages: list[dict[str, str]]) -> str:
        """The prompt for a conversation, ready for the assistant's answer.

        Raises EngineError if the model has no chat template or the template refuses.
        """
        if not self._chat_template:
            raise EngineError("This model has no chat template.", "Use a model tuned for chat.")
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        environment.globals["raise_exception"] = _raise
        names = {
            name: _token_text(self._settings.get(name))
            for name in ("bos_token", "eos_token", "pad_token", "unk_token")
        }
        try:
            return environment.from_string(self._chat_template).render(
                messages=[self._without_specials(m) for m in messages],
                add_generation_prompt=True,
                **names,
            )
        except TemplateError as error:
            raise EngineError(f"The chat template refused: {error}.") from error

    @cached_property
    def _special_texts(self) -> re.Pattern[str] | None:
        added = self._backend.get_added_tokens_decoder()
        texts = [re.escape(token.content) for token in added.values() if token.special]
        return re.compile("|".join(sorted(texts, key=len, reverse=True))) if texts else None

    def _without_specials(self, message: dict[str, str]) -> dict[str, str]:
        """What somebody writes must not open a new turn in the conversation."""
        if self._special_texts is None:
            return message
        return {
            key: self._special_texts.sub(lambda m: m[0][0] + " " + m[0][1:], text)
            for key, text in message.items()
        }

    def _is_byte_level(self) -> bool:
        decoder = json.loads(self._backend.to_str()).get("decoder") or {}
        parts = decoder.get("decoders", [decoder])
        return any(part.get("type") == "ByteLevel" for part in parts)


def _raise(message: str) -> None:
    raise TemplateError(message)


def _token_text(value: Any) -> str:
    return value.get("content", "") if isinstance(value, dict) else (value or "")


def _byte_alphabet() -> dict[str, int]:
    """The printable stand-in that byte-level BPE (GPT-2) uses for each byte, inverted."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(256) if b not in printable]
    return {chr(b): b for b in printable} | {chr(256 + n): b for n, b in enumerate(others)}


_ALPHABET = _byte_alphabet()


def _byte_level(token: str) -> bytes:
    try:
        return bytes(_ALPHABET[c] for c in token)
    except KeyError:
        return token.encode()


def _sentence_piece(token: str) -> bytes:
    match = _BYTE_TOKEN.fullmatch(token)
    return bytes([int(match[1], 16)]) if match else token.replace("\u2581", " ").encode()
