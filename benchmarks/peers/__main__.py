"""Fetch the peers that are no Python package of ours: node-llama-cpp and the model's GGUF file.

    python -m benchmarks.peers

vLLM is not fetched: it takes 3 GB. Make a virtual environment with it and name that with
`python -m benchmarks.engine --vllm FOLDER`.
"""

import sys

from benchmarks.peers import Missing, llama_cpp
from completion.sources import DEFAULT
from tandem.errors import TandemError


def main() -> None:
    try:
        llama_cpp.fetch(DEFAULT)
    except (Missing, TandemError) as error:
        sys.exit(f"peers: {error}")
    print(f"In {llama_cpp.home()}: node-llama-cpp and {llama_cpp.gguf_of(DEFAULT).name}")


if __name__ == "__main__":
    main()
