"""What the server may load once for all candidates: modules from outside of the repository, and
the compiled form of its files, used only where the source is the same to the byte.
"""

import contextlib
import importlib
import importlib.machinery
import importlib.metadata
import os
import sys

_code: dict[str, tuple[bytes, object]] = {}  # path → source, its code
_rewritten: dict[str, tuple[bytes, object]] = {}  # the same as pytest rewrites it


class NotNow(BaseException):
    """No ImportError: a module that would make do without what is kept out must not load at all."""


class _Keep:
    """Keeps modules out, by their top names."""

    def __init__(self, out: set[str]) -> None:
        self.out = out

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in self.out:
            raise NotNow(name)


def report(root: str) -> dict:
    """In a test process at its end: what was loaded, in the order of loading; `own` are the top
    names of the repository's modules.
    """
    modules, files, tests, own = [], [], [], set()
    for name, module in list(sys.modules.items()):
        path = getattr(module, "__file__", None) or ""
        if not path.startswith(root + "/"):
            modules.append(name)
            continue
        own.add(name.split(".")[0])
        if type(getattr(module, "__loader__", None)).__name__ == "AssertionRewritingHook":
            tests.append(path)
        elif path.endswith(".py"):
            files.append(path)
    return {"modules": modules, "files": files, "tests": tests, "own": sorted(own)}


def load(modules: list[str], out: set[str]) -> None:
    """Import these, but none that needs one of `out`, by top names."""
    keep = _Keep(out)
    sys.meta_path.insert(0, keep)  # type: ignore[arg-type]
    for name in modules:
        if name not in sys.modules and name.split(".")[0] not in out:
            with contextlib.suppress(BaseException):  # some modules refuse by design
                importlib.import_module(name)
    sys.meta_path.remove(keep)  # type: ignore[arg-type]


def threads() -> int:
    """How many run beside this one; a fork would lose them."""
    return len(os.listdir("/proc/self/task")) - 1


def compiled(files: list[str], tests: list[str]) -> None:
    """Compile these files of the repository. Nothing of them runs."""
    for path in files:
        with contextlib.suppress(OSError, SyntaxError, ValueError), open(path, "rb") as file:
            source = file.read()
            _code[path] = source, compile(source, path, "exec", dont_inherit=True)
    importlib.machinery.SourceFileLoader.source_to_code = _source_to_code  # type: ignore[method-assign]
    if not tests:
        return
    from _pytest.assertion import rewrite

    original = rewrite._rewrite_test
    for path in tests:
        with contextlib.suppress(Exception), open(path, "rb") as file:
            from pathlib import Path

            source = file.read()
            _rewritten[path] = source, original(Path(path), None)[1]  # type: ignore[arg-type]

    def rewrite_test(path, config):
        known = _rewritten.get(str(path))
        with open(path, "rb") as file:
            same = known is not None and file.read() == known[0]
        if same and known and not config.getini("enable_assertion_pass_hook"):
            return os.stat(path), known[1]
        return original(path, config)

    rewrite._rewrite_test = rewrite_test


def _source_to_code(self, data, path, *, _optimize=-1):
    known = _code.get(path)
    if known is not None and known[0] == data:
        return known[1]
    return compile(data, path, "exec", dont_inherit=True, optimize=_optimize)


def plugin_packages() -> set[str]:
    """pytest must load its plugins by itself, to rewrite their asserts."""
    found: set[str] = {"conftest", "__main__", "__mp_main__"}
    for distribution in importlib.metadata.distributions():
        if any(entry.group == "pytest11" for entry in distribution.entry_points):
            found |= {file.parts[0].removesuffix(".py") for file in distribution.files or ()}
    return found
