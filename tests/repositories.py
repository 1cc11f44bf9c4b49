"""Real git repositories, made by the real git, with a history that tests choose."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

_IDENTITY = {
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@example.org",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.org",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
}
_START = 1_700_000_000


class MadeRepository:
    """A repository in `folder`; its commits are an hour apart, so that hashes never change."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._commits = 0
        folder.mkdir(parents=True)
        self.git("init", "--quiet", "--initial-branch=main")
        self.git("config", "gc.auto", "0")

    def git(self, *arguments: str, **environment: str) -> str:
        """Run git here; raises if it fails."""
        done = subprocess.run(
            ["git", *arguments],
            cwd=self.folder,
            env={**os.environ, **_IDENTITY, **environment},
            check=True,
            capture_output=True,
        )
        return done.stdout.decode("utf-8", "replace").strip()

    def write(self, files: Mapping[str, str | bytes]) -> None:
        for name, content in files.items():
            file = self.folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content if isinstance(content, bytes) else content.encode())

    def commit(self, files: Mapping[str, str | bytes], author: str = "Ada") -> str:
        """Write files, commit everything, return the commit's hash."""
        self.write(files)
        self.git("add", "--all")
        self._commits += 1
        when = f"{_START + 3600 * self._commits} +0000"
        self.git(
            *("commit", "--quiet", "--allow-empty", "--message", f"change {self._commits}"),
            GIT_AUTHOR_NAME=author,
            GIT_AUTHOR_DATE=when,
            GIT_COMMITTER_DATE=when,
        )
        return self.git("rev-parse", "HEAD")


WORDS = [
    "alpha",
    "beta",
    "gamma",
    "delta",
    "epsilon",
    "zeta",
    "theta",
    "kappa",
    "lambda",
    "sigma",
    "omega",
    "rho",
]


def function(number: int, uses: str = "") -> str:
    """A function of its own words, which no other number's function repeats."""
    first, second = WORDS[number % 12], WORDS[(number // 12 + 5 * number + 1) % 12]
    call = f"    {first}_rows = {uses}({first}_rows, limit={number})\n" if uses else ""
    return (
        f"def {first}_{second}_{number}({first}_rows, {second}_limit={number}):\n"
        f'    """Count the {first} rows below {second}, in step {number}."""\n'
        f"    {second}_total_{number} = {number * 7919 % 1000}\n"
        f"{call}"
        f"    for {first}_row in {first}_rows:\n"
        f"        if {first}_row.{second}_{number} > {second}_limit:\n"
        f"            {second}_total_{number} += {first}_row.{second}_{number}\n"
        f"    return {second}_total_{number}\n"
    )


def module(*numbers: int) -> str:
    return "\n\n".join(map(function, numbers))


def grown(folder: Path, commits: int = 24) -> MadeRepository:
    """A repository of `commits` commits, each of which adds one function to one of four files."""
    repository = MadeRepository(folder)
    texts = {f"pack/part{n}.py": module(100 + 2 * n, 101 + 2 * n) for n in range(4)}
    repository.commit({**texts, "LICENSE": "MIT\n"})
    for number in range(1, commits):
        name = f"pack/part{number % 4}.py"
        texts[name] += "\n\n" + function(number)
        repository.commit({name: texts[name]})
    return repository
