"""transformers' `generate` in float32 with its KV cache; nothing is kept between prompts.

python -m benchmarks.peers.transformers FOLDER THREADS      (as a Worker's program)
"""

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.peers import Worker

NAME = "transformers float32"


def start(model: Path, threads: int) -> Worker:
    """Raises Missing."""
    command = [sys.executable, "-m", "benchmarks.peers.transformers", str(model), str(threads)]
    return Worker(NAME, command, {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"})


def main(folder: str, threads: int) -> None:
    try:
        answer = load(folder, threads)
    except ImportError as error:
        print(json.dumps({"missing": f"{error}; install Tandem with [tune]"}), flush=True)
        return
    print("{}", flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(**json.loads(line))), flush=True)


def load(folder: str, threads: int) -> Any:
    import torch
    from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast
    from transformers.generation.streamers import BaseStreamer

    torch.set_num_threads(threads)
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(Path(folder, "tokenizer.json")))

    class Clock(BaseStreamer):
        """When each token came; the prompt is the first thing put."""

        def __init__(self) -> None:
            self.times: list[float] = []

        def put(self, value: object) -> None:
            self.times.append(time.perf_counter())

        def end(self) -> None:
            pass

    def answer(prompt: str | Sequence[int], tokens: int) -> dict[str, object]:
        began, clock = time.perf_counter(), Clock()
        ids = tokenizer.encode(prompt) if isinstance(prompt, str) else list(prompt)
        output = model.generate(
            torch.tensor([ids]),
            attention_mask=torch.ones(1, len(ids), dtype=torch.long),
            max_new_tokens=tokens,
            do_sample=False,
            pad_token_id=0,
            streamer=clock,
        )[0, len(ids) :]
        return {
            "text": tokenizer.decode(output),
            "tokens": len(output),
            "prompt_tokens": len(ids),
            "cached_tokens": 0,
            "first_ms": (clock.times[1] - began) * 1000,
        }

    return answer


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
