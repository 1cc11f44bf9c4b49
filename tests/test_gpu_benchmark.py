"""`benchmarks.gpu` rehearsed without a GPU: the same code on a tiny model."""

import json
import subprocess
import sys
from pathlib import Path

from tests import tiny_models
from tests.lsp_client import REPOSITORY


def test_its_texts_are_transformers_and_drafts_change_none(tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    folder.mkdir()
    tiny_models.make(folder, "llama tied", context=1024)
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config["chat_template"] = "{% for m in messages %}{{ m['content'] }}\n{% endfor %}"
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    told = tmp_path / "figures.json"
    command = [sys.executable, "-m", "benchmarks.gpu", str(folder), "--device", "cpu"]
    done = subprocess.run(
        [*command, "--quick", "--json", str(told)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("headline: captured_over_transformers ")
    figures = json.loads(told.read_text())
    assert figures["exact"] == {"eager": 8, "captured": 8}
    assert figures["of"] == 8
    drafts = figures["drafts, float32"]
    assert drafts["same_text"] == drafts["edits"] == 4
