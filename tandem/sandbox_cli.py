"""`tandem sandbox`: containers that run what nobody has to trust."""

import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from tandem import sandbox_check_cli
from tandem.config import load

app = typer.Typer(no_args_is_help=True)
app.command()(sandbox_check_cli.check)
KILLED = 124  # as of timeout(1)
_WHY = {
    "time": "out of time",
    "memory": "out of memory",
    "output": "too much output",
    "sandbox": "it ended what watched over it",
}


@app.command()
def setup() -> None:
    """Bring up what sandboxes need: Docker, where that can be done, and the base image."""
    from sandbox import daemon, image

    client = daemon.setup(_tell)
    version = client.version()["Version"]
    _tell("making the base image, which takes minutes the first time")
    tag = image.base_image(client)
    typer.echo(f"Sandboxes are ready: Docker {version}, base image {tag}.")


@app.command(context_settings={"ignore_unknown_options": True})
def run(
    command: Annotated[list[str], typer.Argument(help="After --: a command and its arguments.")],
    repository: Annotated[
        Path, typer.Option(help="Its files are copied in; default: this folder.")
    ] = Path(),
    timeout: Annotated[
        float | None, typer.Option(min=0.1, help="Seconds; default: sandbox.timeout_s.")
    ] = None,
    use_dockerfile: Annotated[
        bool, typer.Option(help="Build or pull the image that the repository names, and use it.")
    ] = False,
) -> None:
    """Run a command on a copy of a repository: without a network, and nothing of it stays."""
    from sandbox import image, worktree
    from sandbox.container import Sandbox
    from sandbox.profile import Limits

    settings = load(repository).sandbox
    with tempfile.TemporaryDirectory(prefix="tandem-") as folder:
        copy = worktree.snapshot(repository, Path(folder) / "copy")
        for path, why in copy.left_out:
            _tell(f"left out: {path}, {why}")
        tar = worktree.tar_of(copy)
        tag = image.image_for(copy.root, tar, tell=_tell, use_named=use_dockerfile)
    with Sandbox(tag, tar, Limits.of(settings.memory_mb, settings.cpus)) as sandbox:
        ran = sandbox.run(command, timeout_s=timeout or settings.timeout_s)
    sys.stdout.buffer.write(ran.stdout)
    sys.stdout.flush()
    sys.stderr.buffer.write(ran.stderr)
    if ran.killed:
        _tell(f"killed: {_WHY.get(ran.killed, ran.killed)}")
        raise typer.Exit(KILLED)
    assert ran.exit_code is not None
    raise typer.Exit(ran.exit_code if ran.exit_code >= 0 else 128 - ran.exit_code)


def _tell(line: str) -> None:
    typer.echo(f"tandem: {line}", err=True)
