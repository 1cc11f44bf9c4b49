"""Images that a repository names: found and told, and used only after a yes."""

import json
from pathlib import Path

import docker
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox import image as images
from sandbox import named
from sandbox.container import Sandbox
from sandbox.named import Named
from tandem.errors import SandboxError
from tests.docker_support import SMALL, docker_client, image, tar_of

__all__ = ["docker_client", "image"]


def devcontainer(folder: Path, text: str) -> Path:
    (folder / ".devcontainer").mkdir()
    (folder / ".devcontainer/devcontainer.json").write_text(text)
    return folder


def test_nothing_is_named(tmp_path: Path) -> None:
    assert named.named(tmp_path) is None


def test_a_dockerfile(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    assert named.named(tmp_path) == Named(dockerfile="Dockerfile")


def test_a_devcontainer_with_an_image_comments_and_commas(tmp_path: Path) -> None:
    devcontainer(
        tmp_path,
        """{
        // which image
        "image": "mcr.example/python:3 // not a comment", /* that
        one */
        "features": {"a": [1, 2, ], },
        }""",
    )
    assert named.named(tmp_path) == Named(image="mcr.example/python:3 // not a comment")


def test_a_devcontainer_with_a_dockerfile_goes_before_the_top_one(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    devcontainer(tmp_path, json.dumps({"build": {"dockerfile": "Dev", "context": ".."}}))
    assert named.named(tmp_path) == Named(dockerfile=".devcontainer/Dev", context=".")


@pytest.mark.parametrize("where", ["../../Dockerfile", "/etc/passwd"])
def test_a_path_out_of_the_repository_is_refused(tmp_path: Path, where: str) -> None:
    devcontainer(tmp_path, json.dumps({"build": {"dockerfile": where}}))
    with pytest.raises(SandboxError, match="not in the repository"):
        named.named(tmp_path)


def test_a_damaged_devcontainer_says_so(tmp_path: Path) -> None:
    devcontainer(tmp_path, "{")
    with pytest.raises(SandboxError, match=r"devcontainer.json cannot be read"):
        named.named(tmp_path)


@given(st.dictionaries(st.text(), st.text() | st.lists(st.integers())))
def test_plain_json_is_read_as_it_is(
    tmp_path_factory: pytest.TempPathFactory, value: dict[str, object]
) -> None:
    file = tmp_path_factory.mktemp("json") / "devcontainer.json"
    file.write_text(json.dumps(value, indent=1))
    assert named._jsonc(file) == value


def test_an_image_that_is_named_is_told_and_not_used(
    image: str, docker_client: docker.DockerClient, tmp_path: Path
) -> None:
    (tmp_path / "Dockerfile").write_text("FROM no-such-image\n")
    said: list[str] = []
    assert images.image_for(tmp_path, b"", docker_client, said.append) == image
    assert said == ["not used: Dockerfile, which the repository names"]


def test_after_a_yes_the_dockerfile_is_built_and_hardened_all_the_same(
    image: str, docker_client: docker.DockerClient, tmp_path: Path
) -> None:
    bare = next(tag for each in docker_client.images.list("tandem-debian") for tag in each.tags)
    (tmp_path / "marker").write_text("from the repository")
    text = f'FROM {bare}\nCOPY marker /marker\nENV SECRET=1\nWORKDIR /work\nENTRYPOINT ["false"]\n'
    (tmp_path / "Dockerfile").write_text(text)
    tag = images.image_for(tmp_path, b"", docker_client, use_named=True)
    try:
        with Sandbox(tag, tar_of({}), SMALL, docker_client) as sandbox:
            code = "import os, pytest; print(open('/marker').read(), os.environ.get('SECRET'))"
            ran = sandbox.run(["python", "-c", code], timeout_s=60)
        assert ran.stdout == b"from the repository None\n", ran
    finally:
        docker_client.api.remove_image(tag, force=True)


def test_what_cannot_be_pulled_or_built_says_why(
    docker_client: docker.DockerClient, tmp_path: Path
) -> None:
    with pytest.raises(SandboxError, match="cannot be had"):
        named.bring(docker_client, tmp_path, Named(image="localhost:1/nothing"))
    (tmp_path / "Dockerfile").write_text("FROM scratch\nNONSENSE\n")
    with pytest.raises(SandboxError, match="Dockerfile cannot be had"):
        named.bring(docker_client, tmp_path, Named(dockerfile="Dockerfile"))


def test_an_image_without_python_is_refused(
    docker_client: docker.DockerClient, tmp_path: Path
) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /x\n")
    tag = named.bring(docker_client, tmp_path, Named(dockerfile="Dockerfile"))
    try:
        with pytest.raises(SandboxError, match=r"cannot be used|no python3"):
            named.python_of(docker_client, tag)
    finally:
        docker_client.api.remove_image(tag, force=True)
