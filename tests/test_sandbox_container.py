"""Commands in a real container: what they get, how they end, and that nothing of them stays."""

import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sandbox import daemon
from sandbox.container import Ran, Sandbox
from tandem.errors import SandboxError
from tests.docker_support import SMALL, docker_client, image, make_sandbox, sandbox, tar_of

__all__ = ["docker_client", "image", "make_sandbox", "sandbox"]


def python(sandbox: Sandbox, code: str, **options: object) -> Ran:
    command = ["python3", "-c", textwrap.dedent(code)]
    return sandbox.run(command, **({"timeout_s": 30} | options))  # type: ignore[arg-type]


def said(ran: Ran) -> str:
    assert (ran.exit_code, ran.killed) == (0, ""), ran
    return ran.stdout.decode().strip()


def test_a_command_runs_on_the_repository(sandbox: Sandbox) -> None:
    ran = sandbox.run(["python3", "a.py"], timeout_s=30)
    assert said(ran) == "42"
    assert ran.stderr == b""
    assert 0 < ran.seconds < 30


def test_exit_codes_and_signals_are_told_apart(sandbox: Sandbox) -> None:
    assert python(sandbox, "raise SystemExit(3)").exit_code == 3
    ran = python(sandbox, "import os; os.kill(os.getpid(), 11)")
    assert (ran.exit_code, ran.killed) == (-11, "")
    ran = sandbox.run(["no-such-program"], timeout_s=30)
    assert ran.exit_code == 127
    assert b"no-such-program" in ran.stderr
    assert sandbox.run(["./a.py"], timeout_s=30).exit_code == 126
    assert sandbox.run(["true"], timeout_s=30, cwd="nowhere").exit_code == 126


def test_stdin_reaches_the_command_and_ends(sandbox: Sandbox) -> None:
    much = b"0123456789" * 50_000
    ran = python(sandbox, "import sys; print(len(sys.stdin.buffer.read()))", stdin=much)
    assert said(ran) == str(len(much))


def test_a_command_need_not_read_its_stdin(sandbox: Sandbox) -> None:
    assert said(python(sandbox, "print(1)", stdin=b"x" * 1_000_000)) == "1"


def test_the_environment_holds_what_is_listed_and_nothing_else(sandbox: Sandbox) -> None:
    ran = sandbox.run(["env"], timeout_s=30, env={"MINE": "yes"})
    names = {line.split("=")[0] for line in said(ran).splitlines()}
    assert names - {"PWD"} == {"PATH", "HOME", "LANG", "TMPDIR", "USER", "MINE"}


def test_files_are_there_for_one_run_only(sandbox: Sandbox) -> None:
    files = {"a.py": b"print('new')", "new/deep/c.txt": b"c", "folder/b.txt": None}
    list_all = ["sh", "-c", "python3 a.py; find . -type f | sort"]
    assert said(sandbox.run(list_all, timeout_s=30, files=files)).splitlines() == [
        "new",
        "./a.py",
        "./new/deep/c.txt",
    ]
    assert said(sandbox.run(list_all, timeout_s=30)).splitlines() == [
        "42",
        "./a.py",
        "./folder/b.txt",
    ]


def test_out_of_time_is_killed_with_all_it_started(sandbox: Sandbox) -> None:
    began = time.monotonic()
    ran = python(
        sandbox,
        """
        import os, signal, sys, time
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        for _ in range(5):
            if os.fork() == 0:
                os.setsid()
                if os.fork() == 0:
                    time.sleep(1000)
                os._exit(0)
        print("started", flush=True)
        time.sleep(1000)
        """,
        timeout_s=5,
    )
    assert (ran.exit_code, ran.killed, ran.stdout) == (None, "time", b"started\n")
    assert 5 <= time.monotonic() - began < 60
    assert others(sandbox) == []
    assert sandbox.started == 1


def test_what_a_command_leaves_running_ends_with_it(sandbox: Sandbox) -> None:
    ran = sandbox.run(["sh", "-c", "setsid sleep 1000 & sleep 1000 & echo done"], timeout_s=60)
    assert said(ran) == "done"
    assert ran.seconds < 60
    assert others(sandbox) == []


def others(sandbox: Sandbox) -> list[str]:
    """Programs of the commands' user that run beside one that looks and the runner above it."""
    ran = python(
        sandbox,
        """
        import os
        known = (os.getpid(), os.getppid())
        for pid in filter(str.isdigit, os.listdir("/proc")):
            if os.stat(f"/proc/{pid}").st_uid == os.getuid() and int(pid) not in known:
                print(open(f"/proc/{pid}/comm").read().strip())
        """,
    )
    return said(ran).splitlines()


def test_output_is_capped_with_head_and_tail(sandbox: Sandbox) -> None:
    ran = python(sandbox, "print('first'); print('x' * 3_000_000); print('last')")
    kept = SMALL.output_kb << 10
    assert ran.exit_code == 0
    assert ran.stdout.startswith(b"first\nxxx")
    assert ran.stdout.endswith(b"xxx\nlast\n")
    cut = 3_000_012 - kept
    assert f"\n[... {cut} bytes cut ...]\n".encode() in ran.stdout
    assert len(ran.stdout) < kept + 100


def test_a_flood_of_output_is_killed(sandbox: Sandbox) -> None:
    ran = sandbox.run(["yes"], timeout_s=200)
    assert (ran.exit_code, ran.killed) == (None, "output")
    assert ran.seconds < 200


def test_too_much_memory_is_killed_and_the_sandbox_lives(
    make_sandbox: Callable[..., Sandbox],
) -> None:
    one = make_sandbox()
    ran = python(one, "x = b'x' * (1 << 30)", timeout_s=200)
    assert (ran.exit_code, ran.killed) == (None, "memory")
    assert said(python(one, "print(1)")) == "1"
    assert one.started == 1


def test_a_fork_bomb_ends_and_leaves_nothing(make_sandbox: Callable[..., Sandbox]) -> None:
    one = make_sandbox()
    python(one, "import os\nwhile True:\n  try: os.fork()\n  except OSError: pass", timeout_s=3)
    assert others(one) == []


def test_a_full_disk_is_empty_again(make_sandbox: Callable[..., Sandbox]) -> None:
    one = make_sandbox({"a.txt": b"a"})
    fill = """
    import itertools
    for folder in ("/work/repo", "/work/home", "/work/tmp", "/tmp", "/dev/shm"):
        for number in itertools.count():
            written = 0
            try:
                with open(f"{folder}/{number}", "wb", buffering=0) as file:
                    while True:
                        written += file.write(bytes(1 << 20))
            except OSError:
                if not written:
                    break
    """
    ran = python(one, fill, timeout_s=120)
    assert ran.exit_code == 0, ran
    ran = one.run(
        ["sh", "-c", "find /work /tmp /dev/shm -type f; echo x >b && cat a.txt b"], timeout_s=30
    )
    assert said(ran) == "/work/repo/a.txt\nax"


CHANGES = {
    "written": "open('a.py', 'w').write('x')",
    "written with the same size and times": """
        import os
        before = os.stat("a.py")
        with open("a.py", "r+b") as file: file.write(b"P")
        os.utime("a.py", ns=(before.st_atime_ns, before.st_mtime_ns))
    """,
    "written through a mapping": """
        import mmap
        with open("a.py", "r+b") as file:
            mapped = mmap.mmap(file.fileno(), 0)
            print(mapped[0])
            mapped[0:1] = b"P"
    """,
    "written through a mapping under another name": """
        import mmap, os
        os.link("a.py", "/work/home/other")
        with open("/work/home/other", "r+b") as file:
            mapped = mmap.mmap(file.fileno(), 0)
            print(mapped[0])
            mapped[0:1] = b"P"
        os.remove("/work/home/other")
    """,
    "written through a mapping in a folder moved away and back": """
        import mmap, os
        os.rename("folder", "/work/home/folder")
        with open("/work/home/folder/b.txt", "r+b") as file:
            mapped = mmap.mmap(file.fileno(), 0)
            print(mapped[0])
            mapped[0:1] = b"P"
        os.rename("/work/home/folder", "folder")
    """,
    "the same file in another folder of that name": """
        import os
        os.rename("folder", "/work/home/folder")
        os.mkdir("folder")
        os.rename("/work/home/folder/b.txt", "folder/b.txt")
    """,
    "removed": "import os; os.remove('a.py')",
    "a link elsewhere": "import os; os.remove('a.py'); os.symlink('/etc/passwd', 'a.py')",
    "a folder": "import os; os.remove('a.py'); os.mkdir('a.py')",
    "a pipe": "import os; os.remove('a.py'); os.mkfifo('a.py')",
    "a hard link": "import os; os.link('a.py', '/work/home/a.py')",
    "another mode": "import os; os.chmod('a.py', 0o4777)",
    "a folder shut": "import os; os.chmod('folder', 0); os.chmod('.', 0o500)",
    "renamed": "import os; os.rename('folder', 'elsewhere')",
    "new files": """
        import os
        os.makedirs("x/y/z"); open("x/y/z/f", "w"); open(".hidden", "w"); os.chmod("x/y", 0)
        open(b"\\xff\\xfe", "w")
    """,
    "an attribute": "import os; os.setxattr('a.py', 'user.x', b'y')",
    "the home folder": "import os; os.rmdir('/work/home'); os.symlink('/tmp', '/work/home')",
    "the repository": "import shutil, os; os.chdir('/'); shutil.rmtree('/work/repo')",
    "the repository, moved": "import os; os.rename('/work/repo', '/work/other')",
    "shared memory": """
        import ctypes, ctypes.util, os
        libc = ctypes.CDLL(None)
        assert libc.shmget(77, 4096, 0o1666) >= 0
        assert libc.semget(77, 1, 0o1666) >= 0
        assert libc.msgget(77, 0o1666) >= 0
        open("/dev/shm/left", "w")
        libc.mq_open.restype = ctypes.c_int
        assert libc.mq_open(b"/left", os.O_RDWR | os.O_CREAT, 0o666, None) >= 0
    """,
    "temporary files": """
        import os, tempfile
        print(tempfile.mkdtemp()); open("/tmp/left", "w"); open("/work/left", "w")
    """,
}
STATE = """
import os, stat
def show(path, depth=0):
    found = os.lstat(path)
    print(path, oct(found.st_mode), found.st_nlink if stat.S_ISREG(found.st_mode) else "")
    if stat.S_ISLNK(found.st_mode): print(os.readlink(path))
    elif stat.S_ISDIR(found.st_mode):
        for name in sorted(os.listdir(path)): show(os.path.join(path, name))
    elif stat.S_ISREG(found.st_mode): print(open(path, "rb").read(), found.st_mtime_ns)
    if not stat.S_ISLNK(found.st_mode): print(os.listxattr(path))
for top in ("/work", "/tmp", "/dev/shm", "/dev/mqueue"): show(top)
for kind in ("shm", "sem", "msg"): print(open(f"/proc/sysvipc/{kind}").read().splitlines()[1:])
"""


@pytest.mark.parametrize("change", CHANGES)
def test_nothing_survives(sandbox: Sandbox, change: str) -> None:
    before = said(python(sandbox, STATE))
    ran = python(sandbox, CHANGES[change])
    if b"Operation not supported" not in ran.stderr:  # attributes, in an older kernel
        assert ran.exit_code == 0, ran
    assert said(python(sandbox, STATE)) == before
    assert sandbox.started == 1


def test_files_that_were_replaced_are_watched_too(sandbox: Sandbox) -> None:
    """Folders that one command replaced are the next one's to write into."""
    before = said(python(sandbox, STATE))
    for change in ("the repository", "renamed", "the same file in another folder of that name"):
        assert python(sandbox, CHANGES[change]).exit_code == 0
        assert python(sandbox, "pass").exit_code == 0
        mapped = CHANGES["written through a mapping"].replace("a.py", "folder/b.txt")
        assert python(sandbox, mapped).exit_code == 0
        assert said(python(sandbox, STATE)) == before


def test_a_socket_left_open_does_not_keep_its_port(sandbox: Sandbox) -> None:
    serve = """
    import socket, threading
    server = socket.create_server(("127.0.0.1", 8765), reuse_port=False)
    client = socket.create_connection(("127.0.0.1", 8765))
    accepted, _ = server.accept()
    accepted.close(); client.close(); server.close()
    print("served")
    """
    assert said(python(sandbox, serve)) == "served"
    assert said(python(sandbox, serve)) == "served"


def test_localhost_has_a_name(sandbox: Sandbox) -> None:
    code = "import socket; print(socket.gethostbyname('localhost'))"
    assert said(python(sandbox, code)) == "127.0.0.1"


def test_there_is_no_network(sandbox: Sandbox) -> None:
    code = """
    import socket
    try: socket.create_connection(("1.1.1.1", 53), timeout=5)
    except OSError as error: print(error.errno)
    """
    assert said(python(sandbox, code)) == "101"  # ENETUNREACH


def test_scripts_run_in_the_temporary_folder(sandbox: Sandbox) -> None:
    script = 'printf "#!/bin/sh\\necho ran" >$TMPDIR/x && chmod +x $TMPDIR/x && $TMPDIR/x'
    assert said(sandbox.run(["sh", "-c", script], timeout_s=30)) == "ran"


def test_who_ends_the_runner_loses_the_container_and_only_that(
    make_sandbox: Callable[..., Sandbox],
) -> None:
    one = make_sandbox({"a.py": b"print(42)"})
    ran = one.run(["sh", "-c", "kill -9 -1"], timeout_s=30)
    assert (ran.exit_code, ran.killed) == (None, "sandbox")
    assert said(one.run(["python3", "a.py"], timeout_s=30)) == "42"
    assert one.started == 2


def test_who_stops_the_runner_runs_out_of_time(make_sandbox: Callable[..., Sandbox]) -> None:
    one = make_sandbox()
    ran = one.run(["sh", "-c", "kill -STOP $PPID; kill -STOP $$"], timeout_s=1)
    assert (ran.exit_code, ran.killed) == (None, "sandbox")
    assert said(one.run(["echo", "again"], timeout_s=30)) == "again"


def test_who_changes_the_runners_limits_loses_the_container(
    make_sandbox: Callable[..., Sandbox],
) -> None:
    one = make_sandbox()
    lower = "import os, resource; resource.prlimit(os.getppid(), resource.RLIMIT_FSIZE, (9, 9))"
    assert python(one, lower).exit_code == 0
    assert said(python(one, "open('f', 'w').write('x' * 100); print('wrote')")) == "wrote"
    assert one.started == 2


def test_the_runner_is_closed_to_commands(sandbox: Sandbox) -> None:
    code = """
    import ctypes, os
    parent = os.getppid()
    for name in ("mem", "fd/1", "environ", "root", "cwd"):
        try: os.open(f"/proc/{parent}/{name}", os.O_RDWR if name == "mem" else os.O_RDONLY)
        except OSError as error: print(name, error.errno)
    PTRACE_ATTACH = 16
    libc = ctypes.CDLL(None, use_errno=True)
    print(libc.ptrace(PTRACE_ATTACH, parent, 0, 0), ctypes.get_errno())
    """
    assert said(python(sandbox, code)).splitlines() == [
        *("mem 13", "fd/1 13", "environ 13", "root 13", "cwd 13"),
        "-1 1",
    ]


def test_the_first_process_is_another_users(sandbox: Sandbox) -> None:
    code = """
    import os
    print(os.stat("/proc/1").st_uid != os.getuid())
    try: os.kill(1, 9)
    except PermissionError: print("refused")
    """
    assert said(python(sandbox, code)) == "True\nrefused"


def test_a_process_is_talked_to_by_lines(sandbox: Sandbox) -> None:
    code = "import sys\nfor line in sys.stdin: print(line.strip()[::-1], flush=True)"
    process = sandbox.open(["python3", "-c", code])
    process.send(b"abc\n")
    assert process.receive(30) == b"cba"
    process.send(b"one\ntwo\n")
    assert [process.receive(30), process.receive(30)] == [b"eno", b"owt"]
    with pytest.raises(TimeoutError):
        process.receive(0.1)
    process.send(b"late\n")
    assert process.receive(30) == b"etal"
    ran = process.close()
    assert (ran.exit_code, ran.killed) == (None, "closed")
    assert said(python(sandbox, "print(1)")) == "1"


def test_a_process_that_ended_says_how(sandbox: Sandbox) -> None:
    process = sandbox.open(
        ["sh", "-c", "cat extra; echo why >&2; exit 7"], files={"extra": b"line\nrest"}
    )
    assert process.receive(30) == b"line"
    with pytest.raises(SandboxError, match="exit code 7") as raised:
        process.receive(30)
    assert "why" in str(raised.value)
    ran = process.close()
    assert (ran.exit_code, ran.stdout, ran.stderr) == (7, b"rest", b"why\n")


def test_large_messages_go_both_ways(sandbox: Sandbox) -> None:
    code = "import sys\nfor line in sys.stdin: sys.stdout.write(line.upper()); sys.stdout.flush()"
    process = sandbox.open(["python3", "-c", code])
    message = b"x" * 5_000_000
    process.send(message + b"\n")
    assert process.receive(60) == message.upper()
    process.close()


def test_what_a_process_leaves_goes_with_it(sandbox: Sandbox) -> None:
    process = sandbox.open(["sh", "-c", "setsid sleep 1000 & echo x >left; echo ready; cat"])
    assert process.receive(30) == b"ready"
    process.close()
    sandbox.reset()
    assert others(sandbox) == []
    assert said(sandbox.run(["sh", "-c", "ls"], timeout_s=30)) == "a.py\nfolder"


def test_a_closed_sandbox_leaves_no_container(
    make_sandbox: Callable[..., Sandbox], docker_client: object
) -> None:
    one = make_sandbox()
    identity = one.attributes()["Id"]
    one.close()
    listed = docker_client.api.containers(all=True, filters={"id": identity})  # type: ignore[attr-defined]
    assert listed == []


def test_an_image_that_is_not_there_is_named(docker_client: object) -> None:
    with pytest.raises(SandboxError, match="no-such-image"):
        Sandbox("tandem-no-such-image:1", b"", SMALL)


def test_a_verdict_is_docker_s_own_and_in_a_fresh_container(
    make_sandbox: Callable[..., Sandbox],
) -> None:
    one = make_sandbox({"a.py": b"print(42)"})
    assert one.run(["true"], timeout_s=30).exit_code == 0
    code = b"import os, sys; print(os.listdir('.')); print('bad', file=sys.stderr); sys.exit(3)"
    ran = one.judge(["python3", "a.py"], timeout_s=60, files={"a.py": code})
    assert (ran.exit_code, ran.killed, ran.stderr) == (3, "", b"bad\n")
    assert ran.stdout == b"['a.py']\n"
    assert one.started == 2
    assert said(one.run(["python3", "a.py"], timeout_s=30)) == "42"
    assert one.started == 3


def test_nothing_of_ours_is_beside_a_command_that_is_judged(
    make_sandbox: Callable[..., Sandbox],
) -> None:
    one = make_sandbox()
    ran = one.judge(["sh", "-c", "env; cat /proc/[0-9]*/comm"], timeout_s=60, env={"MINE": "yes"})
    assert one.started == 1
    names = ran.stdout.decode().split()
    assert "python3" not in names
    listed = {name.split("=")[0] for name in names if "=" in name}
    assert listed - {"PWD"} == {"PATH", "HOME", "LANG", "TMPDIR", "USER", "MINE"}


def test_a_command_that_is_judged_has_the_runners_filter(
    make_sandbox: Callable[..., Sandbox],
) -> None:
    code = """
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    print(libc.syscall(425, 1, None), ctypes.get_errno())  # io_uring_setup
    """
    one = make_sandbox()
    ran = one.judge(["python3", "-c", textwrap.dedent(code)], timeout_s=60)
    assert said(ran) == said(python(one, code)) == "-1 1"


def test_a_judged_program_that_is_not_there_is_127(make_sandbox: Callable[..., Sandbox]) -> None:
    assert make_sandbox().judge(["no-such-program"], timeout_s=60).exit_code == 127


def test_a_daemon_that_goes_away_is_said_in_one_line(
    image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its socket is reached by a link, which is removed."""
    link = tmp_path / "docker.sock"
    link.symlink_to(daemon.SOCKET)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{link}")
    with Sandbox(image, tar_of({}), SMALL) as one:
        assert one.run(["sh", "-c", "kill -9 -1"], timeout_s=30).killed == "sandbox"
        link.unlink()
        with pytest.raises(SandboxError) as raised:
            one.run(["true"], timeout_s=30)
    assert str(raised.value) == (
        f"The Docker daemon at DOCKER_HOST=unix://{link} does not answer."
        " Start it, or unset DOCKER_HOST."
    )


def test_an_error_in_the_midst_costs_the_container_and_no_more(
    make_sandbox: Callable[..., Sandbox], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as Ctrl-C while an answer is awaited."""
    one = make_sandbox({"a.py": b"print(42)"})
    with monkeypatch.context() as patch:
        patch.setattr(one, "ended", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            one.run(["true"], timeout_s=30)
    assert said(one.run(["python3", "a.py"], timeout_s=30)) == "42"
    assert one.started == 2


def test_a_command_that_is_judged_has_limits_too(make_sandbox: Callable[..., Sandbox]) -> None:
    one = make_sandbox()
    ran = one.judge(["sleep", "1000"], timeout_s=1)
    assert (ran.exit_code, ran.killed) == (None, "time")
    assert one.judge(["yes"], timeout_s=200).killed == "output"
    ran = one.judge(["python3", "-c", "import os; os.kill(-1, 9)"], timeout_s=60)
    assert (ran.exit_code, ran.killed) == (0, "")
    assert one.judge(["python3", "-c", "x = b'x' * (1 << 30)"], timeout_s=200).exit_code == 137
