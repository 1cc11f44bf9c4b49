"""The base image's root file system: a small Debian with Python, made without any registry."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from tandem import paths
from tandem.errors import SandboxError

SUITE = "bookworm"
PACKAGES = ("python3",)
# What no test reads, in /usr/share.
LEFT_OUT = ("man", "doc", "locale", "info")
NEEDS_TOOL = "mmdebstrap"
MINUTES = 20


def key() -> str:
    """Changes with what the root file system is made of."""
    return hashlib.sha256(repr((SUITE, PACKAGES, LEFT_OUT)).encode()).hexdigest()[:12]


def root_file_system() -> Path:
    """A tar of it, kept in the cache folder; about 150 MB. Raises SandboxError."""
    file = paths.cache_dir() / "sandbox" / f"debian-{key()}.tar"
    if file.exists():
        return file
    if shutil.which(NEEDS_TOOL) is None or os.geteuid() != 0:
        raise SandboxError(
            "The base image cannot be made here.",
            f"It takes Debian's {NEEDS_TOOL} and root: sudo tandem sandbox setup",
        )
    paths.private_dir(file.parent)
    with tempfile.TemporaryDirectory(dir=file.parent) as folder:
        made = Path(folder) / "root.tar"
        try:
            subprocess.run(
                _command(made), check=True, capture_output=True, text=True, timeout=MINUTES * 60
            )
        except subprocess.CalledProcessError as error:
            last = error.stderr.strip().splitlines()[-1:] or [f"exit code {error.returncode}"]
            raise SandboxError(f"{NEEDS_TOOL} failed: {last[0]}.") from error
        except subprocess.TimeoutExpired as error:
            raise SandboxError(f"{NEEDS_TOOL} took more than {MINUTES} minutes.") from error
        made.replace(file)
    return file


def _command(file: Path) -> list[str]:
    return [
        NEEDS_TOOL,
        "--mode=root",
        "--variant=essential",
        f"--include={','.join(PACKAGES)}",
        "--dpkgopt=force-unsafe-io",
        *(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in LEFT_OUT),
        SUITE,
        str(file),
    ]
