"""What a repository is called between machines: the same on every clone, telling nothing of it.

A hash of the first commit on the main line. Paths and names of folders differ between clones,
and remotes' addresses do, too (ssh and https, forks, tokens in them); the first commit does not.
A shallow clone does not have it and has no identity. Forks share one.
"""

import hashlib
import os
import subprocess
from pathlib import Path

FORM = r"[0-9a-f]{32}"
SECONDS = 30.0
# The repository is somebody else's: nothing that it configures may run.
_OPTIONS = ("core.fsmonitor=", f"core.hooksPath={os.devnull}", f"core.attributesFile={os.devnull}")
_ENVIRONMENT = {
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
}
# In a hook these name another repository than the one we ask about.
_LEFT_OUT = {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_GRAFT_FILE"}


def of(folder: Path) -> str:
    """The identity of the repository that a folder lies in; "" if it has none. Blocking: some
    milliseconds, or seconds where there are a million commits."""
    if _git(folder, "rev-parse", "--is-shallow-repository") != "false":
        return ""
    first = _git(folder, "rev-list", "--first-parent", "--max-parents=0", "HEAD").split()
    if not first:
        return ""
    return hashlib.sha256(f"tandem repository {first[-1]}".encode()).hexdigest()[:32]


def _git(folder: Path, *arguments: str) -> str:
    options = [part for option in _OPTIONS for part in ("-c", option)]
    kept = {name: value for name, value in os.environ.items() if name not in _LEFT_OUT}
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), "--no-pager", *options, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=kept | _ENVIRONMENT,
            timeout=SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode("ascii", "replace").strip() if done.returncode == 0 else ""
