"""`tandem fix --agent` whole: real HTTP, real containers, a scripted model."""

from pathlib import Path

import pytest

from tests.agent_support import (
    MEND,
    PLAN,
    RIGHT,
    TARGETS,
    TEST,
    docker_client,  # noqa: F401
    fix,
    git,
    image,  # noqa: F401
    repository,  # noqa: F401
    told,
    trusted,  # noqa: F401
)
from tests.scripted_chat import scripted

pytestmark = pytest.mark.usefixtures("trusted")


def test_an_agents_patch_is_proved_as_any_other(repository: Path) -> None:  # noqa: F811
    with scripted(PLAN, MEND, TEST) as server:
        done = fix(repository, server, "--agent", "--json")
    assert done.returncode == 0, done.stderr
    report = told(done)
    assert report["ended"] == "fixed"
    assert sorted(report["failing"]) == TARGETS
    (best,) = report["found"]
    assert f"+{RIGHT}" in best["diff"]
    assert best["label"] == "verified"
    assert best["template"] == "agent, attempt 1"
    assert best["verdict"].startswith("holds in a fresh container")
    assert report["tried"] == {"passed": 1}
    assert "1. read links" in done.stderr
    assert git(repository, "status", "--short") == ""
