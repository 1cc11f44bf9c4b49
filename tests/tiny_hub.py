"""A real but tiny model folder, and a tiny model hub that serves it over HTTP."""

import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

REVISION = "0123456789abcdef0123456789abcdef01234567"
_SHAPE: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 256,
    "max_position_embeddings": 128,
}


def model_folder(folder: Path, family: str = "llama", shards: bool = False) -> Path:
    """Write a model with random weights and a byte-level tokenizer, and return the folder."""
    if family == "llama":
        model = LlamaForCausalLM(LlamaConfig(**_SHAPE))
    else:
        model = Qwen2ForCausalLM(Qwen2Config(**_SHAPE))
    model.save_pretrained(folder, max_shard_size="20KB" if shards else "1GB")
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({s: n for n, s in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


class Hub:
    """What a test may change: the files served, and which answers are spoilt."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder
        self.licence: str | None = "mit"
        self.spoilt: set[str] = set()
        self.requests: list[str] = []
        self.address = ""

    def info(self) -> dict:
        files = sorted(file for file in self.folder.iterdir() if file.is_file())
        return {
            "id": self.name,
            "modelId": self.name,
            "sha": REVISION,
            "cardData": {"license": self.licence} if self.licence else None,
            "siblings": [self._sibling(file) for file in files],
        }

    def _sibling(self, file: Path) -> dict:
        content = file.read_bytes()
        entry: dict = {"rfilename": file.name, "size": len(content), "blobId": "0"}
        if file.suffix == ".safetensors":
            digest = hashlib.sha256(content).hexdigest()
            entry["lfs"] = {"sha256": digest, "size": len(content), "pointerSize": 1}
        return entry


@contextlib.contextmanager
def serve(hub: Hub) -> Iterator[Hub]:
    """Speak the part of the hub's protocol that its client uses for models."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def _answer(self, body: bool) -> None:
            path = self.path.partition("?")[0]
            hub.requests.append(f"{self.command} {path}")
            file = hub.folder / path.rpartition("/")[2]
            if path.startswith(f"/api/models/{hub.name}"):
                self._send(200, json.dumps(hub.info()).encode(), body)
            elif path.startswith(f"/{hub.name}/resolve/{REVISION}/") and file.is_file():
                content = file.read_bytes()
                self._send(200, content, body, spoil=file.name in hub.spoilt)
            else:
                self._send(404, b"{}", body, {"X-Error-Code": "RepoNotFound"})

        def _send(
            self,
            code: int,
            content: bytes,
            body: bool,
            headers: dict | None = None,
            spoil: bool = False,
        ) -> None:
            etag = hashlib.sha256(content).hexdigest()
            if spoil:
                content = content[:-1] + bytes([content[-1] ^ 1])
            self.send_response(code)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("ETag", f'"{etag}"')
            self.send_header("X-Repo-Commit", REVISION)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.end_headers()
            if body:
                self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    hub.address = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
