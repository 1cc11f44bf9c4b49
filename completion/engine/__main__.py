"""The background engine's process, as `background.ensure` starts it.

`python -m completion.engine MODEL SETTINGS`, where SETTINGS is JSON with the group `engine` of
`tandem.config.Config`. Its last line on standard error says why it ended, if it failed.
"""

import json
import sys

from completion.engine import server
from tandem.config import Config
from tandem.errors import TandemError


def main() -> int:
    model, settings = sys.argv[1:]
    try:
        server.run(Config(model=model, **json.loads(settings)), background=True)
    except TandemError as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
