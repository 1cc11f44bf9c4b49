"""One command on a copy of a repository, in a sandbox of its own; nothing of it stays."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from sandbox import image, worktree
from sandbox.container import Ran, Sandbox
from sandbox.profile import Limits
from tandem import config


def run(
    repository: Path,
    command: Sequence[str],
    *,
    timeout_s: float = 0.0,
    files: Mapping[str, bytes | None] | None = None,
    tell: Callable[[str], None] = lambda line: None,
) -> Ran:
    """`timeout_s` 0: as the settings have it. `files` lie over the copy, by path in it; None: not
    there. `tell` hears what was left out. Raises TandemError where there is no sandbox."""
    settings = config.load(repository).sandbox
    with tempfile.TemporaryDirectory(prefix="tandem-") as folder:
        copy = worktree.snapshot(repository, Path(folder) / "copy")
        for path, why in copy.left_out:
            tell(f"left out: {path}, {why}")
        tar = worktree.tar_of(copy)
        tag = image.image_for(copy.root, tar, tell=tell)
    with Sandbox(tag, tar, Limits.of(settings.memory_mb, settings.cpus)) as sandbox:
        return sandbox.run(command, timeout_s=timeout_s or settings.timeout_s, files=files)
