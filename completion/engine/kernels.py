"""Our C++ kernels: compiled where they run, when they are first needed, and kept in the cache.

Compiling here takes some seconds once and makes code for this very CPU, with whatever compiler
the system has; a wheel with binaries would have to be built for every system. One build is for
one level of vector instructions. Where there is no compiler the engine runs in torch.
"""

import ctypes
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from tandem import paths

SOURCES = Path(__file__).parent / "native"
COMPILERS = ("c++", "g++", "clang++")
BUILD_SECONDS = 120
_AVX2 = ("-mavx2", "-mfma")
_AVX512 = (*_AVX2, "-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mavx512vnni")
# By what the compiler is told; the best level comes first. `portable` runs everywhere.
LEVELS: Mapping[str, tuple[str, ...]] = {
    "avx512": _AVX512,
    "avxvnni": (*_AVX2, "-mavxvnni"),
    "avx2": _AVX2,
    "portable": (),
}
_NEEDS = {
    "avx512": ("avx512_f", "avx512_bw", "avx512_vl", "avx512_dq", "avx512_vnni"),
    "avxvnni": ("avx2", "fma3", "avx_vnni"),
    "avx2": ("avx2", "fma3"),
    "portable": (),
}
log = logging.getLogger(__name__)


class Unavailable(Exception):
    """Why there are no kernels here, in one line."""


class Linear(ctypes.Structure):
    _fields_ = (
        ("weights", ctypes.c_void_p),
        ("scales", ctypes.c_void_p),
        ("bias", ctypes.c_void_p),
        ("outputs", ctypes.c_int32),
        ("inputs", ctypes.c_int32),
        ("parts", ctypes.c_int32),
    )


class Layer(ctypes.Structure):
    _fields_ = (
        ("attention_norm", ctypes.c_void_p),
        ("mlp_norm", ctypes.c_void_p),
        ("qkv", Linear),
        ("output", Linear),
        ("gate_up", Linear),
        ("down", Linear),
    )


class Network(ctypes.Structure):
    _fields_ = (
        ("stack", ctypes.POINTER(Layer)),
        ("norm", ctypes.c_void_p),
        ("cos", ctypes.c_void_p),
        ("sin", ctypes.c_void_p),
        ("embedding", Linear),
        ("head", Linear),
        ("layers", ctypes.c_int32),
        ("heads", ctypes.c_int32),
        ("kv_heads", ctypes.c_int32),
        ("head_dim", ctypes.c_int32),
        ("hidden", ctypes.c_int32),
        ("intermediate", ctypes.c_int32),
        ("eps", ctypes.c_float),
    )


class Part(ctypes.Structure):
    _fields_ = (
        ("tokens", ctypes.c_void_p),
        ("keys", ctypes.c_void_p),
        ("values", ctypes.c_void_p),
        ("layer_stride", ctypes.c_int64),
        ("head_stride", ctypes.c_int64),
        ("count", ctypes.c_int32),
        ("start", ctypes.c_int32),
    )


class Kernels:
    """A loaded build. Calls from several threads wait for each other."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        library.tandem_level.restype = ctypes.c_char_p
        self.level: str = library.tandem_level().decode()
        sizes = (ctypes.c_int32 * 4)()
        library.tandem_sizes(sizes)
        ours = [ctypes.sizeof(kind) for kind in (Linear, Layer, Network, Part)]
        if list(sizes) != ours:
            raise Unavailable(f"structures differ from the compiled ones: {list(sizes)}, {ours}")

    def call(self, name: str, *arguments: Any) -> None:
        """Raises MemoryError."""
        if getattr(self._library, f"tandem_{name}")(*arguments):
            raise MemoryError(f"no memory for {name}")


def usable_levels() -> list[str]:
    """What this CPU can run, the best first."""
    has = torch.cpu.get_capabilities()
    return [level for level, needs in _NEEDS.items() if all(has.get(need) for need in needs)]


@lru_cache
def load(level: str = "") -> Kernels:
    """The kernels for a level, by default this CPU's best; compiled if they are not yet.

    Raises Unavailable.
    """
    level = level or usable_levels()[0]
    compiler = next((found for name in COMPILERS if (found := shutil.which(name))), None)
    if compiler is None:
        raise Unavailable("there is no C++ compiler")
    if not any(SOURCES.glob("*.cpp")):
        raise Unavailable("this installation has no sources of the kernels")
    folder = paths.kernels_dir()
    file = folder / f"{_key(compiler, LEVELS[level])}.so"
    try:
        if not _whole(file):
            paths.private_dir(folder)
            # Several engines may start at once: one builds, the others wait for it.
            with FileLock(folder / "build.lock", timeout=BUILD_SECONDS):
                if not _whole(file):
                    log.info("compiling the kernels (%s) with %s", level, compiler)
                    _build(compiler, LEVELS[level], file)
        return Kernels(ctypes.CDLL(str(file)))
    except Timeout:
        raise Unavailable("another process has been compiling them for too long") from None
    except OSError as error:
        raise Unavailable(str(error)) from error


def _key(compiler: str, flags: Sequence[str]) -> str:
    """Names a build by all that it is made of."""
    digest = hashlib.sha256()
    program = Path(compiler).resolve()
    status = program.stat()
    made_of = (platform.machine(), program, status.st_size, status.st_mtime_ns, *flags)
    digest.update("\0".join(map(str, made_of)).encode())
    for source in sorted(SOURCES.iterdir()):
        if source.is_file():
            digest.update(source.name.encode() + b"\0" + source.read_bytes())
    return digest.hexdigest()[:32]


def _seal(file: Path) -> Path:
    return file.with_suffix(".sha256")


def _whole(file: Path) -> bool:
    """Whether a build is there as it was made: loading half a library can end the process."""
    try:
        return _seal(file).read_text("ascii") == hashlib.sha256(file.read_bytes()).hexdigest()
    except (OSError, UnicodeDecodeError):
        return False


def _build(compiler: str, flags: Sequence[str], file: Path) -> None:
    """Raises Unavailable."""
    with tempfile.TemporaryDirectory(dir=file.parent) as folder:
        made = Path(folder) / file.name
        # -w: compilers warn of their own vector headers. Products and sums are fused where the
        # source says so and nowhere else, so that all loops round alike.
        options = ["-std=c++20", "-O3", "-ffp-contract=off", "-fPIC", "-shared", "-pthread", "-w"]
        sources = [str(source) for source in sorted(SOURCES.glob("*.cpp"))]
        command = [compiler, *options, *flags, "-o", str(made), *sources]
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                timeout=BUILD_SECONDS,
                stdin=subprocess.DEVNULL,
                env={**os.environ, "LC_ALL": "C"},
            )
        except subprocess.TimeoutExpired:
            raise Unavailable(f"{compiler} took too long") from None
        if done.returncode or not made.exists():
            said = next((line for line in done.stderr.splitlines() if "error" in line), "")
            raise Unavailable(f"{compiler} failed: {said or done.stderr.strip()[-200:]}")
        digest = hashlib.sha256(made.read_bytes()).hexdigest()
        _seal(file).unlink(missing_ok=True)
        made.replace(file)
        with paths.atomic_write(_seal(file)) as stream:
            stream.write(digest)
