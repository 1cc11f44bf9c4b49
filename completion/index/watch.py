"""Keeps an index up to date while files change under it."""

import threading
from collections.abc import Callable
from pathlib import Path

import watchfiles

from completion.index import ignore, scan
from completion.index.indexer import Indexer, Stats

_MANY = 200  # changed at once, as by a checkout: then the whole tree is looked at
_WAIT_MS = 100  # for more of the same change; 1600 at most, while they keep coming


def watch(
    indexer: Indexer, stop: threading.Event, on_update: Callable[[Stats], None] = lambda stats: None
) -> None:
    """Until `stop` is set. Call `update` before: what changed earlier is not seen."""
    changes = watchfiles.watch(
        indexer.root,
        watch_filter=_Filter(),
        debounce=16 * _WAIT_MS,
        step=_WAIT_MS,
        stop_event=stop,
        raise_interrupt=False,
    )
    for found in changes:
        paths = sorted({Path(path) for _, path in found})
        whole = len(paths) > _MANY or any(_is_more_than_a_file(path) for path in paths)
        stats = indexer.update() if whole else indexer.update_files(paths)
        if stats.changed or stats.removed:
            on_update(stats)


class _Filter(watchfiles.DefaultFilter):
    """What may be about source: folders of tools are not, nor are links into them."""

    ignore_dirs = tuple(sorted(scan.FILLED))


def _is_more_than_a_file(path: Path) -> bool:
    """Whether a change of it may change others: a folder came or went, or what is ignored did."""
    if path.name in ignore.NAMES or path.is_dir():
        return True
    return not path.suffix and not path.exists()
