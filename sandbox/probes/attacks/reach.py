"""What can be reached from inside: networks, and the secrets of whoever started us."""

import contextlib
import json
import os
import signal
import socket
import sys

Found = tuple[bool, str]
EXPECTED = {"PATH", "HOME", "LANG", "LC_CTYPE", "TMPDIR", "USER", "PWD", "SHLVL", "_", "HOSTNAME"}


def interfaces() -> Found:
    names = sorted(name for _, name in socket.if_nameindex())
    others = [name for name in names if name != "lo"]
    # Tunnels that the kernel makes in each network by itself, all of them down.
    others = [name for name in others if not _is_down(name)]
    return bool(others), f"interfaces: {', '.join(others or names)}"


def _is_down(name: str) -> bool:
    with contextlib.suppress(OSError), open(f"/sys/class/net/{name}/flags") as file:
        return not int(file.read(), 16) & 1
    return False


def connect(*addresses: str) -> Found:
    """Any of these addresses, `host:port`, over TCP."""
    for address in addresses:
        host, port = address.rsplit(":", 1)
        with (
            contextlib.suppress(OSError),
            socket.create_connection((host.strip("[]"), int(port)), 2),
        ):
            return True, f"connected to {address}"
    return False, f"none of {len(addresses)} addresses answers"


def send(*addresses: str) -> Found:
    """Any of these over UDP: the kernel knows a way, or it does not."""
    for address in addresses:
        host, port = address.rsplit(":", 1)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as client:
            client.sendto(b"probe", (host.strip("[]"), int(port)))
            return True, f"a packet leaves for {address}"
    return False, f"no way to any of {len(addresses)} addresses"


def ping(address: str) -> Found:
    kind = (socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)
    with contextlib.suppress(OSError), socket.socket(*kind) as client:
        client.sendto(b"\x08\0\xf7\xff\0\0\0\0", (address, 0))
        return True, f"an ICMP packet leaves for {address}"
    return False, "no ICMP packet leaves"


def resolve(name: str) -> Found:
    try:
        found = socket.getaddrinfo(name, 80)
    except OSError as error:
        return False, f"{name}: {error.strerror or error}"
    return True, f"{name} is {found[0][4][0]}"


def abstract_socket(name: str) -> Found:
    """A Unix socket without a file: it belongs to the network namespace."""
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(f"\0{name}")
    except OSError as error:
        return False, f"{error.strerror}"
    return True, f"connected to @{name}"


def environment() -> Found:
    """Variables beyond those that a command gets."""
    found = sorted(set(os.environ) - EXPECTED)
    return bool(found), f"sees {', '.join(found)}" if found else "only what is listed"


def secret_files() -> Found:
    found = []
    homes = {os.path.expanduser("~"), "/root", "/home", "/work/home"}
    names = (".ssh", ".netrc", ".aws", ".config/gh", ".docker/config.json", ".git-credentials")
    for path in ["/etc/shadow", *(f"{home}/{name}" for home in sorted(homes) for name in names)]:
        with contextlib.suppress(OSError):
            os.listdir(path) if os.path.isdir(path) else open(path, "rb").read(1)
            found.append(path)
    with contextlib.suppress(OSError):
        found += [f"/root/{name}" for name in os.listdir("/root")][:1]
    return bool(found), f"read {', '.join(found)}" if found else "no credentials, no /etc/shadow"


def others_environment() -> Found:
    """The environment of processes of other users."""
    found, others = [], 0
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if os.stat(f"/proc/{pid}").st_uid != os.getuid() or int(pid) == os.getppid():
                others += 1
                with open(f"/proc/{pid}/environ", "rb") as file:
                    file.read(1)
                found.append(pid)
    return bool(
        found
    ), f"read that of {', '.join(found)}" if found else f"{others} are closed to us"


def keyring() -> Found:
    """Keys of the session that started the container."""
    with contextlib.suppress(OSError), open("/proc/keys") as file:
        if rows := file.read().splitlines():
            return True, f"{len(rows)} keys"
    return False, "/proc/keys shows none"


if __name__ == "__main__":
    signal.alarm(60)
    print(json.dumps(globals()[sys.argv[1]](*sys.argv[2:])))
