"""In Ray's Python: start Ray and Serve, deploy what the file says, end with a signal.

    python -m completion.fleet.head APP_FILE [ADDRESS]

Prints READY once all replicas that were asked for answer. Without an address a Ray of its own is
started, on 127.0.0.1 and without a dashboard.
"""

import contextlib
import importlib
import json
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import ray  # pyright: ignore[reportMissingImports]
from ray import serve  # pyright: ignore[reportMissingImports]

from completion.fleet import app_file

POLL_SECONDS = 0.2


def start(told: dict[str, Any], address: str) -> None:
    """Ray, Serve's proxy, and the applications; returns when they answer."""
    if address:
        ray.init(address=address, log_to_driver=False)
    else:
        ray.init(
            address="local",
            include_dashboard=False,
            log_to_driver=False,
            _node_ip_address="127.0.0.1",
        )
    http = {**told["http_options"], "location": told["proxy_location"]}
    serve.start(http_options=http)
    for application in told["applications"]:
        module, _, name = application["import_path"].partition(":")
        build = getattr(importlib.import_module(module), name)
        serve.run(
            build(application["args"]),
            name=application["name"],
            route_prefix=application["route_prefix"],
        )


def drain(name: str) -> None:
    """Let its running requests end, as long as its deployments say. `serve.shutdown` alone ends
    the proxy at once, and with it every stream."""
    with contextlib.suppress(TimeoutError):
        serve.delete(name)
    while name in serve.status().applications:
        time.sleep(POLL_SECONDS)


def main() -> None:
    told = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    ended = threading.Event()

    def listen() -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: ended.set())

    listen()
    start(told, sys.argv[2] if len(sys.argv) > 2 else "")
    listen()  # again: with Ray Serve LLM, Ray's own handler has come before it, and ends us at once
    print(app_file.READY, flush=True)
    ended.wait()
    for application in told["applications"]:
        drain(application["name"])
    serve.shutdown()
    ray.shutdown()


if __name__ == "__main__":
    main()
