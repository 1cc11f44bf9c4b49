"""The second half of `make demo`: a real bug of `examples/paging`, fixed in front of you.

    python -m tandem.fix_demo

Works on a copy. Without Docker it says so in one line.
"""

import shutil
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from sandbox import audit, daemon
from sandbox.fix import Fix, order_of
from sandbox.fixrun import RunFolder
from sandbox.report import rendered
from tandem import progress
from tandem.errors import SandboxError, TandemError

EXAMPLE = Path(__file__).parents[1] / "examples" / "paging"


def main() -> int:
    try:
        daemon.client()
    except SandboxError as reason:
        print(f"Fixing a bug: skipped, {reason} {reason.hint}")
        return 0
    print("Two tests of examples/paging fail. tandem fix examples/paging:")
    with tempfile.TemporaryDirectory(prefix="tandem-demo-") as folder:
        copy = Path(folder) / "paging"
        shutil.copytree(EXAMPLE, copy)
        run = RunFolder.new(order_of(copy))
        try:
            with audit.start(run.id) as log, progress.on_stderr() as tell:
                report = Fix(run, log, tell).run()
                log.seal()
        except TandemError as error:
            print(f"error: {error} {error.hint}", file=sys.stderr)
            return error.exit_code
    Console().print(rendered(report, most=1))
    return 0 if report.fixed else 3


if __name__ == "__main__":
    sys.exit(main())
