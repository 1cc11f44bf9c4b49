"""What the runner says to its vLLM, over the same door as everybody."""

from pathlib import Path

import httpx

from completion.vllm.metrics import Counts, read

# Of a server that is there; loading an adapter reads files.
_ASK_SECONDS, _LOAD_SECONDS = 5.0, 120.0
# The first requests make what n-gram guessing and kernels need, a second or two, for all later ones.
_WARM_UP = "for name in names:\n    print(name)\n" * 4


class Control:
    """`key` is what the door knows the runner by."""

    def __init__(self, port: int, token: str, key: str) -> None:
        self._http = httpx.Client(
            base_url=f"http://127.0.0.1:{port}",
            headers={"Authorization": f"Bearer {token}", "X-Tandem-Runner": key},
            timeout=_ASK_SECONDS,
            trust_env=False,
        )

    def close(self) -> None:
        self._http.close()

    def healthy(self) -> bool | None:
        """None if nobody answers."""
        try:
            return self._http.get("/health").status_code == 200
        except httpx.HTTPError:
            return None

    def counts(self) -> Counts | None:
        """None if it does not answer."""
        try:
            response = self._http.get("/metrics")
        except httpx.HTTPError:
            return None
        return read(response.text) if response.status_code == 200 else None

    def warm_up(self, model: str) -> None:
        body = {"model": model, "prompt": _WARM_UP, "max_tokens": 8, "temperature": 0}
        self._post("/v1/completions", body)

    def load(self, name: str, folder: Path) -> str:
        """What is wrong; empty if it is loaded."""
        return self._post("/v1/load_lora_adapter", {"lora_name": name, "lora_path": str(folder)})

    def unload(self, name: str) -> str:
        return self._post("/v1/unload_lora_adapter", {"lora_name": name})

    def _post(self, path: str, body: dict) -> str:
        try:
            response = self._http.post(path, json=body, timeout=_LOAD_SECONDS)
        except httpx.HTTPError as error:
            return str(error) or type(error).__name__
        if response.status_code == 200:
            return ""
        try:
            return str(response.json()["error"]["message"])
        except (ValueError, KeyError, TypeError):
            return f"it answered {response.status_code}"
