"""Probes that ask and do not try: how a container is shut in, and how old what holds it is."""

import platform
import re
from typing import Any

from sandbox import profile as profiles
from sandbox.probes.bench import Bench, Found
from sandbox.profile import Limits


def profile(bench: Bench) -> Found:
    """What `docker inspect` says of a running sandbox."""
    limits = Limits()
    found = profiles.violations(bench.box(limits).attributes(), limits)
    return Found(bool(found), "; ".join(found) or "all that docker inspect tells is as asked for")


def seccomp_there(bench: Bench) -> Found:
    options = bench.client.info().get("SecurityOptions") or []
    there = any("name=seccomp" in one and "unconfined" not in one for one in options)
    return Found(not there, ", ".join(options) or "the daemon has none")


def old_runc(bench: Bench) -> Found:
    """runc's version, against CVE-2019-5736, 2024-21626, and 2025-31133, 52565 and 52881."""
    version = _component(bench, "runc")
    numbers = _numbers(version)
    if numbers >= (1, 3, 3) or (1, 2, 8) <= numbers < (1, 3):
        return Found(False, f"runc {version} has all known fixes")
    backport = (
        "Its distribution may have brought the fixes to it"
        if "deb" in version or "+" in version
        else "Update it"
    )
    since = "2024-21626 and later ones" if numbers < (1, 1, 12) else "2025-31133, 52565 and 52881"
    return Found(True, f"runc {version} is older than the fixes for CVE-{since}. {backport}")


def old_kernel(bench: Bench) -> Found:
    """The kernel's version, against Dirty COW and Dirty Pipe; nothing is exploited."""
    version = platform.release()
    numbers = _numbers(version)
    if numbers < (4, 8, 3):
        return Found(True, f"Linux {version} is older than the fix for CVE-2016-5195")
    fixed = (
        numbers >= (5, 16, 11)
        or numbers < (5, 8)
        or (5, 15, 25) <= numbers < (5, 16)
        or (5, 10, 102) <= numbers < (5, 11)
    )
    return Found(
        not fixed, f"Linux {version} {'has' if fixed else 'lacks'} the fix for CVE-2022-0847"
    )


def old_docker(bench: Bench) -> Found:
    """The daemon's version, against BuildKit's CVE-2024-23651 to 23653 and old seccomp defaults."""
    version = str(bench.client.version().get("Version", ""))
    if _numbers(version) >= (25, 0, 2):
        return Found(False, f"Docker {version}")
    return Found(
        True,
        f"Docker {version} is older than 25.0.2, whose BuildKit is mended. Tandem does not use BuildKit",
    )


def no_apparmor(bench: Bench) -> Found:
    options = bench.client.info().get("SecurityOptions") or []
    there = any("apparmor" in one or "selinux" in one for one in options)
    return Found(
        not there, "on" if there else "this kernel has neither AppArmor nor SELinux for containers"
    )


def root_daemon(bench: Bench) -> Found:
    """Whether the container's root would be the host's root, if someone became it."""
    options = bench.client.info().get("SecurityOptions") or []
    there = any("rootless" in one or "userns" in one for one in options)
    return Found(
        not there,
        "user namespaces are used" if there else "the daemon runs as root without user namespaces",
    )


def _component(bench: Bench, name: str) -> str:
    parts: list[dict[str, Any]] = bench.client.version().get("Components") or []
    unknown: dict[str, Any] = {"Version": "unknown"}
    found = next((one for one in parts if one["Name"] == name), unknown)
    commit = str(found.get("Details", {}).get("GitCommit", ""))
    # A distribution's own build has its package's version there.
    return commit if "deb" in commit or "ubuntu" in commit else str(found["Version"])


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(n) for n in re.findall(r"\d+", version.split("+")[0].split("~")[0])[:3])
