"""Probes of what is left of a run: in the sandbox, on the host, in its log; and of refusing to run."""

import os
import signal
import subprocess
import sys
import time

from sandbox import audit, owner
from sandbox.container import Sandbox
from sandbox.probes.bench import SMALL, Bench, Found, expect
from sandbox.probes.places import a_folder, home
from sandbox.profile import LABEL, OWNER
from tandem.errors import SandboxError

PATIENCE_S = 30


def audit_secrets(bench: Bench) -> Found:
    token = "ghp_" + "a1B2" * 10
    with a_folder() as folder, home(folder):
        with audit.start("probe") as log:
            log.append(
                "ran", output=f"token {token}", env={"API_KEY": "Zx81kQp94hTr"}, plain="kept"
            )
            log.seal()
        text = audit.file_of("probe").read_text("utf-8")
        expect("kept" in text, "nothing is logged")
        worked = token in text or "Zx81kQp94hTr" in text
    return Found(worked, "a token is in the log" if worked else "a token and a key are taken out")


def audit_tampering(bench: Bench) -> Found:
    with a_folder() as folder, home(folder):
        with audit.start("probe") as log:
            for number in range(5):
                log.append("candidate", number=number)
            log.seal()
        file = audit.file_of("probe")
        whole = file.read_bytes()
        expect(audit.verify(file).intact, "an untouched log is not intact")
        lines = whole.splitlines(keepends=True)
        evil = [
            whole.replace(b'"number": 1', b'"number": 7'),
            b"".join(lines[:-1]),
            b"".join(lines[1:]),
        ]
        evil += [
            b"".join([*lines[:2], *lines[3:]]),
            b"".join([lines[1], lines[0], *lines[2:]]),
            b"",
            whole[:-9],
        ]
        missed = 0
        for changed in evil:
            file.write_bytes(changed)
            missed += audit.verify(file).intact
    return Found(
        missed > 0,
        f"{missed} of {len(evil)} changes unseen" if missed else f"{len(evil)} changes seen",
    )


def residue(bench: Bench) -> Found:
    """Leave processes, files, shared memory and a changed module for the next run."""
    left = bench.attack("exhaust", "stay", limits=SMALL)
    for what in ("process", "/tmp", "/dev/shm", "module.py", "mapped.py", "linked.py", "shared"):  # noqa: S108
        expect(what in left.detail, f"no {what} was left in the first place")
    return bench.attack("exhaust", "look", limits=SMALL)


def flood(bench: Bench) -> Found:
    """Print more than the host wants to hold."""
    quiet = bench.run("exhaust", "flood", "1", limits=SMALL)
    expect(quiet.exit_code == 0, "1 MB is too much already")
    ran = bench.run("exhaust", "flood", "1000", limits=SMALL)
    kept = len(ran.stdout) + len(ran.stderr)
    most = 2 * (SMALL.output_kb << 10) + 1_000
    return Found(
        ran.killed != "output" or kept > most,
        f"killed: {ran.killed or 'not'}, {kept >> 10} KB kept",
    )


def endless(bench: Bench) -> Found:
    """Spin and ignore every signal that can be ignored."""
    ran = bench.run("exhaust", "spin", limits=SMALL, timeout_s=1)
    after = bench.run("exhaust", "core_dump", limits=SMALL)
    worked = ran.killed != "time" or ran.exit_code is not None or after.exit_code != 0
    return Found(worked, f"killed: {ran.killed or 'not'} after {ran.seconds:.1f} s")


def orphan(bench: Bench) -> Found:
    """Kill the host's process: no container may stay."""
    script = (
        "import sys, time\n"
        "from sandbox.probes.bench import SMALL, repository\n"
        "from sandbox.container import Sandbox\n"
        "one = Sandbox(sys.argv[1], repository(), SMALL)\n"
        "print(one.attributes()['Id'], flush=True)\n"
        "time.sleep(600)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, bench.image], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        identity = process.stdout.readline().strip()
        there = bool(identity) and _is_there(bench, identity)
        process.send_signal(signal.SIGKILL)
    expect(there, "it did not start a container")
    until = time.monotonic() + PATIENCE_S
    while _is_there(bench, identity):
        if time.monotonic() > until:
            owner.remove(bench.client, identity)
            return Found(True, f"the container is there after {PATIENCE_S} s")
        time.sleep(0.1)
    return Found(False, "it ended with the process that started it")


def _is_there(bench: Bench, identity: str) -> bool:
    rows = bench.client.api.containers(all=True, filters={"id": identity, "label": [LABEL, OWNER]})
    return bool(rows)


def no_daemon(bench: Bench) -> Found:
    script = (
        "from sandbox.probes.bench import repository\n"
        "from sandbox.container import Sandbox\n"
        "from tandem.errors import SandboxError\n"
        "try:\n"
        "    Sandbox('tandem-nothing:0', repository())\n"
        "except SandboxError as error:\n"
        "    print(error.message)\n"
    )
    environment = {**os.environ, "DOCKER_HOST": "unix:///nonexistent/docker.sock"}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False
    )
    told = done.stdout.strip()
    return Found(done.returncode != 0 or not told, told or f"exit code {done.returncode}")


def no_image(bench: Bench) -> Found:
    try:
        Sandbox("tandem-nothing:0", b"", client=bench.client).close()
    except SandboxError as error:
        return Found(False, error.message)
    return Found(True, "a sandbox without an image started")
