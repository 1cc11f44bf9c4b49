"""How a command shows long work on standard error: bars on a terminal, lines in a log."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

# Called with a stage, what is done of it, and how much there is of it (0: not known). What
# follows a comma in a stage are figures that change while it lasts.
Tell = Callable[[str, int, int], None]
_LINES = 10  # of a stage in a log


@contextmanager
def on_stderr(*, sizes: bool = False) -> Iterator[Tell]:
    """A bar a stage with the time left on a terminal; elsewhere a line for each tenth of it.

    With `sizes` the numbers are bytes.
    """
    if not sys.stderr.isatty():
        yield _lines()
        return
    amount = DownloadColumn() if sizes else TaskProgressColumn()
    columns = (TextColumn("{task.description}"), BarColumn(), amount, TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=not sizes) as bars:
        tasks = {}

        def tell(stage: str, done: int, total: int) -> None:
            name = _name(stage)
            if name not in tasks:
                tasks[name] = bars.add_task(stage, total=None)
            bars.update(tasks[name], description=stage, completed=done, total=total or None)

        yield tell


def _lines() -> Tell:
    told: dict[str, int] = {}

    def tell(stage: str, done: int, total: int) -> None:
        part = _LINES * done // total if total else 0
        if part > told.get(_name(stage), -1):
            told[_name(stage)] = part
            share = f" {100 * part // _LINES}%" if total else ""
            print(f"tandem: {stage}{share}", file=sys.stderr, flush=True)

    return tell


def _name(stage: str) -> str:
    return stage.split(",", 1)[0]
