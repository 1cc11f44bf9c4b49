"""What Tandem needs, what it found, and the command that mends what is missing."""

import contextlib
import json
import platform
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tandem import __version__, paths, trace
from tandem.config import Config, load
from tandem.errors import ConfigError, TandemError

_CPU_FEATURES = (
    "avx2",
    "avx_vnni",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "amx_bf16",
    "amx_int8",
)
_EDITORS = ("code", "code-server", "nvim")


@dataclass(frozen=True)
class Check:
    """`ok` is None for a thing that Tandem can do without. `fix` is the command that mends it."""

    name: str
    ok: bool | None
    detail: str
    fix: str = ""


def checks(config: Config | None = None) -> list[Check]:
    """Look at everything. Nothing is started or changed; each look ends within seconds.

    But the engine's kernels are compiled if they are not yet, because only that tells.

    Without `config` the settings are loaded here, and defaults stand in for broken ones.
    """
    settings, config = _settings(config)
    return [
        Check("tandem", True, __version__),
        _python(),
        _torch(config),
        settings,
        _model(config),
        _engine(config),
        *_adapters(),
        _trace(),
        _git(),
        _docker(),
        *_editors(),
    ]


def report(found: list[Check], as_json: bool) -> bool:
    """Print the checks on standard output. Whether nothing that is needed is missing."""
    well = all(check.ok is not False for check in found)
    if as_json:
        print(json.dumps({"ok": well, "checks": [asdict(check) for check in found]}, indent=1))
        return well
    table = Table(box=None, pad_edge=False, show_header=False)
    for check in found:
        mark = {True: Text("ok", "green"), False: Text("missing", "red"), None: Text("-", "dim")}
        detail = f"{check.detail}\n→ {check.fix}" if check.fix else check.detail
        table.add_row(mark[check.ok], Text(check.name), Text(detail, overflow="fold"))
    Console().print(table)
    return well


def _python() -> Check:
    return Check("python", True, f"{platform.python_version()} at {sys.executable}")


def _torch(config: Config) -> Check:
    """Version, CPU features, and what the engine itself would choose."""
    try:
        version = metadata.version("torch")
    except metadata.PackageNotFoundError:
        return Check("torch", False, "is not installed", f"{sys.executable} -m pip install torch")
    from completion.engine import weights

    has = ", ".join(name for name in _CPU_FEATURES if name in cpu_flags()) or "no vector features"
    threads = config.engine.threads or weights.usable_cores()
    try:
        choice = weights.choose(config.engine.dtype, config.engine.device)
    except TandemError as error:
        return Check("torch", False, error.message, error.hint)
    return Check("torch", True, f"{version}, {has}; engine: {choice}, {threads} threads")


def cpu_flags() -> set[str]:
    """The CPU's features as Linux names them; nothing elsewhere."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith("flags"):
                return set(line.partition(":")[2].split())
    return set()


def _settings(config: Config | None) -> tuple[Check, Config]:
    file = paths.user_config_file()
    try:
        config = config or load()
    except ConfigError as error:
        return Check("settings", False, error.message, f"$EDITOR {file}"), Config()
    detail = str(file) if file.exists() else "defaults"
    return Check("settings", True, "; ".join([detail, *config.notices])), config


def _model(config: Config) -> Check:
    if config.endpoint:
        return Check("model", True, f"{config.model} at {config.endpoint}")
    from completion import models
    from completion.engine import shipped

    try:
        model = models.resolve(config.model)
        template = shipped.template_of(model)
    except TandemError as error:
        return Check("model", False, error.message, error.hint.removeprefix("Run: "))
    size = f"{model.manifest.size / 1e6:.0f} MB"
    return Check("model", True, f"{model.name}, {size}, template {template}")


def _engine(config: Config) -> Check:
    if config.endpoint:
        return _server(config)
    from completion.engine import background

    address = background.find(config)
    if address is None:
        return Check("engine", None, "not running; an editor or `tandem complete` starts it")
    return Check("engine", True, f"running as process {address.pid} at {address.url}")


def _server(config: Config) -> Check:
    import asyncio

    from completion.client import Client

    async def served() -> list[str]:
        async with Client(config.endpoint, config.token.get_secret_value()) as client:
            return [row.id for row in await client.models()]

    try:
        names = asyncio.run(served())
    except TandemError as error:
        return Check("server", False, error.message, f"tandem models use {config.endpoint}")
    if config.model not in names:
        detail = f"{config.endpoint} has no {config.model}; it has {', '.join(names) or 'none'}"
        return Check("server", False, detail, f"tandem models use {config.endpoint} --model NAME")
    return Check("server", True, f"{config.endpoint} serves {config.model}")


def _adapters() -> list[Check]:
    """The adapters in use, if any; one that cannot be loaded has the command that mends it."""
    from completion import activations, adapters
    from tandem.adapters_cli import base_named

    try:
        used = activations.in_use(activations.history())
    except TandemError as error:
        return [Check("adapters", False, error.message, f"rm {activations.file()}")]
    found = []
    for (repository, model), name in used.items():
        try:
            adapters.resolve(name, base_named(model))
        except TandemError as error:
            fix = error.hint.removeprefix("Run: ")
            found.append(Check("adapter", None, f"{repository}: {error.message}", fix))
        else:
            found.append(Check("adapter", True, f"{repository} uses {name}"))
    return found


def _trace() -> Check:
    """Whether events can be written: by trying, in the same folder."""
    folder = paths.trace_file().parent
    try:
        paths.private_dir(folder)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return Check("trace", False, f"{folder}: {error.strerror}", f"chmod u+rwx {folder}")
    lost = trace.lost()
    if lost:
        return Check("trace", False, f"{lost} events could not be written", f"df -h {folder}")
    return Check("trace", True, str(paths.trace_file()))


def _git() -> Check:
    code, output = _ask("git", "--version")
    if code == 0:
        return Check("git", True, output.removeprefix("git version "))
    return Check("git", False, output, "apt-get install git")


def _docker() -> Check:
    """The client and the daemon: `tandem fix` runs tests in containers, the rest needs none."""
    code, output = _ask("docker", "version", "--format", "{{.Client.Version}} {{.Server.Version}}")
    if code == 0:
        client, _, server = output.partition(" ")
        return Check("docker", True, f"client {client}, daemon {server}")
    if shutil.which("docker") is None:
        detail = "not installed; only `tandem fix` needs it"
        return Check("docker", None, detail, "tandem sandbox setup")
    detail = f"the client is there, the daemon does not answer: {output}"
    return Check("docker", None, detail, "tandem sandbox setup")


def _editors() -> list[Check]:
    """Each known editor on PATH; one row when there is none."""
    found = [(name, place) for name in _EDITORS if (place := shutil.which(name))]
    if not found:
        detail = f"none of {', '.join(_EDITORS)} on PATH; any LSP client runs: tandem lsp"
        return [Check("editors", None, detail)]
    return [Check(name, True, place) for name, place in found]


def _ask(*command: str) -> tuple[int, str]:
    """A command's exit code and the last line it said; 127 if it is not there."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=10, stdin=subprocess.DEVNULL
        )
    except FileNotFoundError:
        return 127, "not installed"
    except (OSError, subprocess.TimeoutExpired) as error:
        return 1, str(error)
    said = (done.stdout.strip() or done.stderr.strip()).splitlines()
    if done.returncode and done.stderr.strip():
        said = done.stderr.strip().splitlines()
    return done.returncode, said[-1] if said else "said nothing"
