"""`tandem serve`: a model for other programs, OpenAI-compatible: by our engine, or by vLLM."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from tandem import config as settings
from tandem.errors import UsageError

DEFAULT_PORT = 8017

OF_VLLM = "vLLM"


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on [127.0.0.1].")] = None,
    port: Annotated[int | None, typer.Option(help="0 takes a free one [8017].")] = None,
    model: Annotated[str, typer.Option(help="A model in the store, or a folder.")] = "",
    background: Annotated[
        bool, typer.Option(help="Start the engine that editors share, and return.")
    ] = False,
    allow_remote: Annotated[
        bool, typer.Option(help="Let other machines in; they need the token too.")
    ] = False,
    backend: Annotated[
        Literal["embedded", "vllm", "ray"],
        typer.Option(help="Our engine; vLLM, for a GPU; Ray, for many of either."),
    ] = "embedded",
    show: Annotated[
        bool, typer.Option("--print", help="Print vLLM's command, or Ray's file; do nothing.")
    ] = False,
    config: Annotated[
        Path | None,
        typer.Option(
            help="Settings; default: vllm.toml or fleet.toml in the settings folder.",
            rich_help_panel=OF_VLLM,
        ),
    ] = None,
    environment: Annotated[
        Path | None,
        typer.Option(help="The virtual environment that has it.", rich_help_panel=OF_VLLM),
    ] = None,
    name: Annotated[
        str, typer.Option(help="What the model is served by.", rich_help_panel=OF_VLLM)
    ] = "",
    context: Annotated[
        int | None,
        typer.Option(min=1, help="Longest prompt + answer, tokens.", rich_help_panel=OF_VLLM),
    ] = None,
    dtype: Annotated[
        str, typer.Option(help="float32, bfloat16 or float16.", rich_help_panel=OF_VLLM)
    ] = "",
    quantization: Annotated[
        str, typer.Option(help="awq, gptq or fp8.", rich_help_panel=OF_VLLM)
    ] = "",
    tensor_parallel: Annotated[
        int | None, typer.Option(help="GPUs that share one model.", rich_help_panel=OF_VLLM)
    ] = None,
    data_parallel: Annotated[
        int | None, typer.Option(help="Copies of the model.", rich_help_panel=OF_VLLM)
    ] = None,
    speculation: Annotated[
        str, typer.Option(help="off, ngram, suffix, eagle3 or draft.", rich_help_panel=OF_VLLM)
    ] = "",
    draft: Annotated[
        Path | None,
        typer.Option(help="Folder of eagle3's or draft's model.", rich_help_panel=OF_VLLM),
    ] = None,
) -> None:
    """Serve the model over OpenAI-compatible HTTP, until Ctrl-C."""
    guess = {"method": speculation, "model": draft}
    flags = {
        "environment": environment,
        "name": name,
        "context": context,
        "dtype": dtype,
        "quantization": quantization,
        "tensor_parallel": tensor_parallel,
        "data_parallel": data_parallel,
        "speculation": {key: value for key, value in guess.items() if value},
    }
    given: dict[str, Any] = {key: value for key, value in flags.items() if value}
    if backend != "embedded":
        if background:
            raise UsageError("--background is of the embedded engine.", "Leave it out.")
        given |= {"host": host} if host is not None else {}
        given |= {"port": port} if port is not None else {}
        given |= {"model": model} if model else {}
        given |= {"allow_remote": True} if allow_remote else {}
        if backend == "vllm":
            _vllm(config, given, show)
            return
        if strange := given.keys() - {"environment", "host", "port", "model", "allow_remote"}:
            named = min(strange).replace("_", "-")
            raise UsageError(f"--{named} is of vLLM.", "Write it into fleet.toml: docs/ray.md.")
        _ray(config, given, show)
        return
    if given or show or config is not None:
        named = next(iter(given), "print" if show else "config").replace("_", "-")
        raise UsageError(f"--{named} is of vLLM.", "Add --backend vllm.")
    _embedded(
        model, host or "127.0.0.1", DEFAULT_PORT if port is None else port, background, allow_remote
    )


def _embedded(model: str, host: str, port: int, background: bool, allow_remote: bool) -> None:
    from completion.engine import background as engine
    from completion.engine import server

    config = settings.load(options={"model": model} if model else None)
    if not background:
        server.run(config, host, port, allow_remote=allow_remote)
        return
    if config.endpoint:
        raise UsageError(
            f"The model is served at {config.endpoint}.", "Unset `endpoint` to use the engine."
        )
    address = engine.ensure(config, progress=typer.echo)
    typer.echo(f"Serving {address.model} at {address.url}, process {address.pid}.")


def _vllm(file: Path | None, flags: dict[str, Any], show: bool) -> None:
    from completion.engine import background as engine
    from completion.engine.listening import listen
    from completion.vllm import command, environment, served
    from completion.vllm import settings as of_vllm
    from completion.vllm.runner import Runner
    from tandem import paths

    wanted = of_vllm.load(file, flags)
    found = environment.find(wanted.environment)
    model = served.find(wanted, settings.load().model)
    port, remote = wanted.port, wanted.allow_remote
    if not show:
        listening = listen(wanted.host, wanted.port, wanted.allow_remote)
        listening.socket.close()  # vLLM opens it; what is wrong is told now, and in our words
        port, remote = listening.port, listening.remote
    token, token_file = engine.user_token()
    folder = paths.state_dir() / "vllm" / str(port)  # several may run

    def tell(line: str) -> None:
        typer.echo(line, err=show)

    runner = Runner(wanted, found, model, port, token, folder, remote, tell)
    if show:
        typer.echo(command.shown(runner.plan(), folder, token_file, remote))
        if not model.folder.is_dir():
            tell(f"The first start makes {model.folder}.")
        return
    tell(f"The bearer token is in {token_file}. Ctrl-C ends the server.")
    runner.run()


def _ray(file: Path | None, flags: dict[str, Any], show: bool) -> None:
    from completion import models
    from completion.engine import background as engine
    from completion.engine.listening import listen
    from completion.fleet import app_file, environment
    from completion.fleet import settings as of_ray
    from completion.fleet.adapters import ListedAdapters
    from completion.fleet.runner import Runner
    from completion.vllm import served
    from completion.vllm import settings as of_vllm
    from tandem import paths

    wanted = of_ray.load(file, flags)
    name = wanted.model or settings.load().model
    if wanted.replica == "vllm":  # as for vLLM alone: with the difference that we ship merged
        float32 = wanted.engine.get("dtype") == "float32"
        of_one = of_vllm.Settings(model=name, dtype="float32" if float32 else "auto")
        found = served.find(of_one, name)
    else:
        installed = models.resolve(name)
        found = served.Model(installed.name, installed.folder, installed.folder)
    listing = paths.cache_dir() / "fleet" / str(wanted.port) / "adapters.json"
    told = app_file.made(wanted, found.name, found.folder, listing)
    if show:
        typer.echo(app_file.text(told), nl=False)
        return
    where = environment.find(wanted.environment, wanted.replica)
    found.made()
    listed = ListedAdapters(found, wanted, listing, typer.echo)
    listening = listen(wanted.host, wanted.port, wanted.allow_remote)
    listening.socket.close()  # Ray's proxy opens it
    token, token_file = engine.user_token()
    typer.echo(f"The bearer token is in {token_file}. Ctrl-C ends the server.")
    folder = paths.state_dir() / "fleet" / str(listening.port)
    port, remote = listening.port, listening.remote
    Runner(wanted, where, told, port, token, remote, folder, listed, typer.echo).run()
