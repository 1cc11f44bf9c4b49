"""What Neovim alone can tell of the plugin: its Lua unit tests, help tags and module headers."""

import subprocess
from pathlib import Path

from tests.neovim import PLUGIN, executable


def test_the_lua_unit_tests_pass() -> None:
    done = run("--headless", "-u", "NONE", "-l", str(PLUGIN / "tests" / "units.lua"))
    assert done.returncode == 0, done.stderr
    assert len(done.stderr.splitlines()) >= 12  # print of `nvim -l` goes to standard error


def test_the_help_file_has_tags_without_a_double(tmp_path: Path) -> None:
    (tmp_path / "doc").mkdir()
    (tmp_path / "doc" / "tandem.txt").write_text((PLUGIN / "doc" / "tandem.txt").read_text())
    done = run("--headless", "-u", "NONE", "-c", f"helptags {tmp_path}/doc", "-c", "q")
    assert done.returncode == 0
    assert done.stderr.strip() == ""
    tags = (tmp_path / "doc" / "tags").read_text()
    assert ":Tandem\t" in tags


def test_the_help_file_has_every_word_of_the_command_and_every_key() -> None:
    told = (PLUGIN / "doc" / "tandem.txt").read_text()
    words = "io.stdout:write(table.concat(vim.tbl_keys(require('tandem.command').words), ' '))"
    keys = (
        "io.stdout:write(table.concat(vim.tbl_keys(require('tandem.config').defaults.keys), ' '))"
    )
    for word in lua(words):
        assert f":Tandem {word}" in told
    for key in lua(keys):
        assert f"<Plug>(tandem-{key})" in told


def test_the_plugin_does_nothing_before_setup() -> None:
    loaded = (
        "vim.cmd.runtime('plugin/tandem.lua')"
        " for name in pairs(package.loaded) do if name:find('^tandem') then"
        " io.stdout:write(name, ' ') end end io.stdout:write(vim.fn.exists(':Tandem'))"
    )
    assert lua(loaded) == ["2"]


def lua(code: str) -> list[str]:
    """The words that Lua code writes to standard output, with the plugin on the runtime path."""
    start = f"set runtimepath^={PLUGIN}"
    done = run("--headless", "-u", "NONE", "-c", start, "-c", f"lua {code}", "-c", "qall!")
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def run(*words: str) -> "subprocess.CompletedProcess[str]":
    command = [executable(), "-i", "NONE", "-n", *words]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
