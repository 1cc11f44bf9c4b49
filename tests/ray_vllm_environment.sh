#!/usr/bin/env bash
# Make an environment with Ray Serve LLM that needs no GPU, for `make test-ray-vllm`:
#     tests/ray_vllm_environment.sh ~/.cache/tandem-test/ray-vllm ~/.cache/tandem-test/vllm
# About a quarter of a minute, once. vLLM and all it needs are taken from the second folder, as
# "ray[llm]" would bring vLLM's CUDA build; on a GPU machine users install that.
set -euo pipefail
RAY=2.60.0
folder=${1:?usage: tests/ray_vllm_environment.sh FOLDER VLLM}
vllm=$(cd "${2:?usage: tests/ray_vllm_environment.sh FOLDER VLLM}" && pwd)
made=$folder/.made-$RAY
site() { "$1/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))'; }
if [ ! -e "$made" ]; then
  echo "making an environment with Ray $RAY and $vllm in $folder" >&2
  rm -rf "$folder"
  mkdir -p "$folder"
  "$vllm/bin/python" -m venv "$folder"
  site "$vllm" >"$(site "$folder")/zz-vllm.pth"
  # Of the rest of "ray[llm]", ray.serve.llm imports only pyarrow.
  "$folder/bin/python" -m pip install --quiet --disable-pip-version-check \
    "ray[serve]==$RAY" pyarrow
  touch "$made"
fi
