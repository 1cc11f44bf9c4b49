"""Images of real repositories: their needs as wheels, themselves built inside, nothing run outside."""

import base64
import hashlib
import io
import tarfile
import textwrap
import zipfile
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from sandbox import image as images
from sandbox import profile, wheels
from sandbox.container import Sandbox
from sandbox.needs import PYTHON
from sandbox.profile import Limits
from tandem.errors import SandboxError
from tests.docker_support import SMALL, docker_client, image, tar_of

__all__ = ["docker_client", "image"]

# A build backend in the repository itself, so that building needs nothing from an index.
BACKEND = """
import base64, hashlib, os, zipfile

def get_requires_for_build_editable(config_settings=None):
    return []

def build_editable(folder, config_settings=None, metadata_directory=None):
    open("mine/_version.py", "w").write("VERSION = 'built'\\n")
    facts = [str(os.getuid()), open("/proc/net/dev").read().count(":"), os.listdir("/sys/class/net")]
    open("facts.txt", "w").write(repr(facts))
    files = {
        "mine.pth": os.getcwd() + "\\n",
        "mine-1.2.dist-info/METADATA": "Metadata-Version: 2.1\\nName: mine\\nVersion: 1.2\\n",
        "mine-1.2.dist-info/WHEEL": "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    }
    name = "mine-1.2-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(folder, name), "w") as wheel:
        for path, text in files.items():
            wheel.writestr(path, text)
        wheel.writestr("mine-1.2.dist-info/RECORD", "".join(f"{path},,\\n" for path in files))
    return name
"""
PYPROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "mine"
version = "1.2"
dependencies = ["tandem-test-needed>=1", "tandem-test-sdist", "tandem-test-nowhere"]
"""


def make_wheel(folder: Path, name: str, version: str, source: str) -> None:
    module = name.replace("-", "_")
    info = f"{module}-{version}.dist-info"
    files = {
        f"{module}.py": source,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    rows = []
    for path, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=")
        rows.append(f"{path},sha256={digest.decode()},{len(text)}\n")
    with zipfile.ZipFile(folder / f"{module}-{version}-py3-none-any.whl", "w") as wheel:
        for path, text in files.items():
            wheel.writestr(path, text)
        wheel.writestr(f"{info}/RECORD", "".join([*rows, f"{info}/RECORD,,\n"]))


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of packages that pip also looks into, with one wheel and one bad sdist."""
    folder = tmp_path / "index"
    folder.mkdir()
    make_wheel(folder, "tandem-test-needed", "1.5", "ANSWER = 42\n")
    setup = f"open({str(tmp_path / 'ran')!r}, 'w')\nfrom setuptools import setup\nsetup(name='tandem-test-sdist', version='1')\n"
    with tarfile.open(folder / "tandem-test-sdist-1.tar.gz", "w:gz") as tar:
        info = tarfile.TarInfo("tandem-test-sdist-1/setup.py")
        info.size = len(setup)
        tar.addfile(info, io.BytesIO(setup.encode()))
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "mine"
    (folder / "mine").mkdir(parents=True)
    (folder / "pyproject.toml").write_text(PYPROJECT)
    (folder / "backend.py").write_text(textwrap.dedent(BACKEND))
    (folder / "mine/__init__.py").write_text("from mine._version import VERSION\n")
    return folder


def tar(repository: Path) -> bytes:
    return tar_of(
        {
            str(path.relative_to(repository)): path.read_bytes()
            for path in sorted(repository.rglob("*"))
            if path.is_file()
        }
    )


@pytest.fixture
def made(docker_client: docker.DockerClient) -> Iterator[set[str]]:
    """Tags to remove after the test."""
    tags: set[str] = set()
    yield tags
    for tag in tags:
        docker_client.api.remove_image(tag, force=True)


def python(tag: str, data: bytes, code: str) -> str:
    with Sandbox(tag, data, SMALL) as sandbox:
        ran = sandbox.run(["python", "-c", code], timeout_s=60)
    assert ran.exit_code == 0, ran
    return ran.stdout.decode().strip()


def test_the_base_image_has_python_and_what_runs_tests(image: str) -> None:
    code = "import sys, pytest, coverage; print(sys.version_info[:2], pytest.__version__[0] >= '8')"
    version = tuple(map(int, PYTHON.split(".")))
    assert python(image, tar_of({}), code) == f"{version} True"


def test_a_repository_runs_with_what_it_needs(
    image: str,
    docker_client: docker.DockerClient,
    repository: Path,
    index: Path,
    tmp_path: Path,
    made: set[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said: list[str] = []
    data = tar(repository)
    tag = images.image_for(repository, data, docker_client, said.append)
    made.add(tag)
    code = """
import importlib.metadata as m, mine, tandem_test_needed, pytest
print(m.version("mine"), mine.VERSION, mine.__file__, tandem_test_needed.ANSWER)
print(open("facts.txt").read())
"""
    installed, facts = python(tag, data, code).splitlines()
    assert installed == "1.2 built /work/repo/mine/__init__.py 42"
    worker = profile.WORKER.split(":")[0]
    assert facts == f"['{worker}', 1, ['lo']]"  # built in there, with no network
    # What is no wheel was not run here, and both were told.
    assert not (tmp_path / "ran").exists()
    assert len(said) == 2
    assert "tandem-test-sdist" in said[1] or "tandem-test-sdist" in said[0]
    assert any("tandem-test-nowhere" in line for line in said)
    # The same needs, the same image, and pip is not asked again.
    monkeypatch.setattr(wheels, "gather", None)
    assert images.image_for(repository, data, docker_client) == tag


def test_other_needs_make_another_image(
    image: str, docker_client: docker.DockerClient, tmp_path: Path, index: Path, made: set[str]
) -> None:
    file = tmp_path / "requirements.txt"
    assert images.image_for(tmp_path, b"", docker_client) == image
    file.write_text("tandem-test-needed\n")
    first = images.image_for(tmp_path, b"", docker_client)
    make_wheel(index, "tandem-test-needed", "2.0", "ANSWER = 43\n")
    file.write_text("tandem-test-needed>=2\n")
    second = images.image_for(tmp_path, b"", docker_client)
    made |= {first, second}
    code = "import tandem_test_needed; print(tandem_test_needed.ANSWER)"
    assert [python(tag, tar_of({}), code) for tag in (first, second)] == ["42", "43"]


def test_a_build_that_fails_is_told_and_the_rest_is_there(
    image: str, docker_client: docker.DockerClient, repository: Path, index: Path, made: set[str]
) -> None:
    (repository / "backend.py").write_text("raise RuntimeError('cannot build')")
    said: list[str] = []
    data = tar(repository)
    tag = images.image_for(repository, data, docker_client, said.append)
    made.add(tag)
    assert any("mine itself could not be installed" in line for line in said)
    code = "import tandem_test_needed; print(tandem_test_needed.ANSWER)"
    assert python(tag, data, code) == "42"


def test_a_build_that_never_ends_is_ended(
    image: str,
    docker_client: docker.DockerClient,
    repository: Path,
    index: Path,
    made: set[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sandbox.bake.BUILD_S", 5)
    (repository / "backend.py").write_text("while True: pass")
    said: list[str] = []
    made.add(images.image_for(repository, tar(repository), docker_client, said.append))
    assert any("took more than 5 s" in line for line in said)


def test_an_image_does_not_pass_for_a_sandbox(
    image: str, docker_client: docker.DockerClient
) -> None:
    """What others start from it must not look like ours to the reaper."""
    labels = docker_client.api.inspect_image(image)["Config"]["Labels"]
    assert labels[profile.LABEL] == "image"
    assert labels[profile.OWNER] == ""


def test_baking_leaves_no_container(image: str, docker_client: docker.DockerClient) -> None:
    found = docker_client.api.containers(all=True, filters={"ancestor": "tandem-debian"})
    assert found == []


def test_a_repository_larger_than_the_folder_says_so(image: str) -> None:
    with pytest.raises(SandboxError, match="No space left"):
        Sandbox(image, tar_of({"big": bytes(20 << 20)}), Limits(**{**vars(SMALL), "work_mb": 8}))
