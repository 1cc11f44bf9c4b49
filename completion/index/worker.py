"""A process that digests the files it is told, until its input ends; see `workers`."""

import gc
import os
import signal
import sys
from pathlib import Path

from completion.index.digest import digest
from completion.index.workers import receive, send


def main() -> None:
    root = Path(sys.argv[1])
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever prints must not print into an answer
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the caller's, whose end is ours
    gc.disable()  # nothing here makes cycles, and looking for them takes a fifth of the time
    try:
        while True:
            jobs = receive(sys.stdin.buffer)
            send(answers, [digest(root, job) for job in jobs])
    except (EOFError, BrokenPipeError):
        os._exit(0)
