"""Which files enter the index, and that no secret does."""

import os
import socket
from collections import Counter
from pathlib import Path

import pytest

from completion.index import Indexer, scan, schema
from tests.index_trees import build, make, paths
from tests.repositories import MadeRepository

SOURCE = "def one():\n    return 1\n"


@pytest.fixture
def root(tmp_path: Path, empty_home: Path) -> Path:
    root = tmp_path / "work"
    root.mkdir()
    return root


def update(root: Path) -> dict[str, int]:
    return Indexer(root, 0).update().skipped


def sources(*names: str) -> dict[str, str]:
    return dict.fromkeys(names, SOURCE)


def test_source_of_known_languages_enters_and_nothing_else(root: Path) -> None:
    make(root, {"a.py": SOURCE, "b.swift": "let x = 1\n", "c.md": "# c\n", "d": "x\n", "e.png": ""})
    assert update(root) == {"no source": 3}
    assert paths(root) == {"a.py", "b.swift"}


def test_a_language_without_a_grammar_is_found_by_its_words(root: Path) -> None:
    index = build(make(root, {"b.swift": "let velocity = momentum / mass\n"}))
    assert [c.file.path for c in index.neighbours(["velocity"], 3)] == ["b.swift"]
    index.close()


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.py", b"x = 1\n\0\n", "binary"),
        ("a.py", b"x = '\xff'\n", "not UTF-8"),
        ("a.py", b"# This file was automatically generated\nx = 1\n", "generated"),
        ("a_pb2.py", b"x = 1\n", "generated"),
        ("a.min.js", b"x = 1\n", "generated"),
        ("a.js", b"x=1;" * 3000, "minified"),
        ("a.js", b"var x = 1;\n" * 200 + b"y=1;" * 3000, "minified"),
        ("a.py", b"x = 1\n" * 200_000, "too large"),
        ("a.txt", b"x = 1\n", "no source"),
        ("secrets.yaml", b"x: 1\n", "no source"),
        ("secrets.rb", b"X = 1\n", "secret file"),
    ],
)
def test_a_file_is_left_out_with_its_reason(
    root: Path, name: str, content: bytes, reason: str
) -> None:
    (root / name).write_bytes(content)
    assert update(root) == {reason: 1}
    assert paths(root) == set()
    assert update(root) == {reason: 1}  # the second time it is not read again


def test_what_is_left_out_enters_once_it_has_changed(root: Path) -> None:
    (root / "a.py").write_bytes(b"\0")
    assert update(root) == {"binary": 1}
    (root / "a.py").write_text(SOURCE)
    assert update(root) == {}
    assert paths(root) == {"a.py"}
    (root / "a.py").write_bytes(b"\0\0")
    assert update(root) == {"binary": 1}
    assert paths(root) == set()


def test_gitignore_rules_nest_and_negate(root: Path) -> None:
    make(root, {".gitignore": "*.gen.py\n/build/\nlogs/\n"})
    make(root, {"sub/.gitignore": "!keep.gen.py\n/only_here.py\n"})
    make(root, sources("a.py", "b.gen.py", "build/c.py", "sub/build/d.py", "sub/logs/e.py"))
    make(root, sources("sub/keep.gen.py", "sub/only_here.py", "sub/deep/only_here.py"))
    update(root)
    assert paths(root) == {
        *("a.py", "sub/build/d.py", "sub/keep.gen.py", "sub/deep/only_here.py"),
    }


def test_rules_are_those_of_git(root: Path) -> None:
    """The real git says the same of each file."""
    repository = MadeRepository(root / "repository")
    rules = "*.log.py\n!important.log.py\ntmp*/\ndoc/**/x.py\n\\#odd.py\nq?.py\n[ab]1.py\n"
    repository.write({".gitignore": rules, "pkg/.gitignore": "/local.py\n!tmpkeep/\n"})
    repository.write(
        sources(
            *("a.log.py", "important.log.py", "tmp1/a.py", "doc/a/b/x.py", "doc/x.py"),
            *("#odd.py", "q1.py", "q12.py", "a1.py", "c1.py", "pkg/local.py"),
            *("pkg/tmpkeep/a.py", "pkg/q2.py", "pkg/sub/local.py", "x.py"),
        )
    )
    listed = repository.git("ls-files", "--others", "--exclude-standard").split("\n")
    update(repository.folder)
    assert paths(repository.folder) == {name for name in listed if name.endswith(".py")}


def test_tandemignore_adds_to_gitignore_and_wins(root: Path) -> None:
    make(root, sources("a.py", "b.py", "c.py"))
    make(root, {".gitignore": "a.py\nb.py\n", ".tandemignore": "!b.py\nc.py\n"})
    assert update(root)["ignored"] == 2
    assert paths(root) == {"b.py"}


def test_rules_above_the_workspace_count_in_its_repository(root: Path) -> None:
    repository = MadeRepository(root / "repository")
    repository.write({".gitignore": "sub/out.py\n", ".git/info/exclude": "private.py\n"})
    repository.write(sources("sub/in.py", "sub/out.py", "sub/private.py"))
    update(repository.folder / "sub")
    assert paths(repository.folder / "sub") == {"in.py"}


def test_rules_that_change_take_files_out_and_in(root: Path) -> None:
    make(root, sources("a.py", "b.py"))
    update(root)
    make(root, {".gitignore": "a.py\n"})
    assert Indexer(root, 0).update().removed == 1
    assert paths(root) == {"b.py"}
    (root / ".gitignore").unlink()
    update(root)
    assert paths(root) == {"a.py", "b.py"}


def test_broken_rules_are_passed_over(root: Path) -> None:
    make(root, sources("a.py", "b.py"))
    (root / ".gitignore").write_bytes(b"!\n[\n\\\n\xff\xfe\n***.txt\nb.py\n")
    update(root)
    assert paths(root) == {"a.py"}


def test_folders_that_tools_fill_are_left_out(root: Path) -> None:
    folders = (".git", "node_modules", "__pycache__", "env", "lib/site-packages")
    make(root, {f"{folder}/a.py": SOURCE for folder in folders})
    make(root, {"env/pyvenv.cfg": "home = /usr/bin\n", "a.py": SOURCE})
    assert update(root) == {"filled by a tool": 5}
    assert paths(root) == {"a.py"}


def test_links_are_not_followed_and_loops_end(root: Path, tmp_path: Path) -> None:
    outside = make(tmp_path / "outside", {"secret.py": SOURCE})
    make(root, {"a/b/c.py": SOURCE})
    (root / "a/b/up").symlink_to(root)
    (root / "a/self").symlink_to("self")
    (root / "a/out").symlink_to(outside)
    (root / "a/file.py").symlink_to(outside / "secret.py")
    (root / "dangling.py").symlink_to("nothing.py")
    assert update(root) == {"link": 5}
    assert paths(root) == {"a/b/c.py"}
    Indexer(root).update_files([root / "a/file.py", root / "a/out/secret.py"])
    assert paths(root) == {"a/b/c.py"}


def test_a_long_chain_of_links_is_no_matter(root: Path) -> None:
    make(root, {"f0.py": SOURCE})
    for n in range(1, 60):
        (root / f"f{n}.py").symlink_to(f"f{n - 1}.py")
    assert update(root) == {"link": 59}
    assert paths(root) == {"f0.py"}


def test_a_workspace_may_be_named_by_a_link(root: Path, tmp_path: Path) -> None:
    make(root, {"a.py": SOURCE})
    link = tmp_path / "link"
    link.symlink_to(root)
    Indexer(link, 0).update()
    assert schema.file_of(link) == schema.file_of(root)
    Indexer(link, 0).update_files([link / "a.py"])
    assert paths(root) == {"a.py"}


def test_odd_names_stay_out(root: Path) -> None:
    make(root, sources("good ü name.py", "new\nline.py", "tab\t.py"))
    broken = [Path(os.fsdecode(bytes(root) + name)) for name in (b"/bad\xff", b"/invalid\xff.py")]
    broken[0].mkdir()
    (broken[0] / "a.py").write_text(SOURCE)
    broken[1].write_text(SOURCE)
    assert update(root) == {"unprintable name": 4}
    assert paths(root) == {"good ü name.py"}
    Indexer(root).update_files([broken[1], broken[0] / "a.py"])
    assert paths(root) == {"good ü name.py"}


def test_pipes_and_sockets_are_not_opened(root: Path) -> None:
    os.mkfifo(root / "pipe.py")
    with socket.socket(socket.AF_UNIX) as server, pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)  # an address of a socket must be short
        server.bind("socket.py")
    assert update(root) == {"no regular file": 2}
    Indexer(root).update_files([root / "pipe.py", root / "socket.py"])
    assert paths(root) == set()


def test_files_outside_the_workspace_are_none_of_its(root: Path, tmp_path: Path) -> None:
    make(tmp_path, {"elsewhere.py": SOURCE})
    update(root)
    stats = Indexer(root, 0).update_files([tmp_path / "elsewhere.py", root / "../elsewhere.py"])
    assert stats.skipped == {"outside": 2}
    assert paths(root) == set()


def test_one_file_and_the_whole_tree_have_the_same_rules(root: Path) -> None:
    make(root, {".gitignore": "ignored.py\n/sub/*.py\n!/sub/kept.py\n"})
    make(root, sources("a.py", "ignored.py", "sub/b.py", "sub/kept.py", "node_modules/c.py"))
    make(root, sources("sub/deep/ignored.py", "sub/deep/d.py", "x.txt", "id_rsa", "e.min.js"))
    found = {one.path for one in scan.files(root, Counter())}
    every = [path for path in root.rglob("*") if path.is_file()]
    alone = [scan.file(root, path.relative_to(root).as_posix()) for path in every]
    assert {one.path for one in alone if isinstance(one, scan.Found)} == found
    assert found == {"a.py", "sub/kept.py", "sub/deep/d.py"}


KEY = "AKIA" + "IOSFODNN7" + "EXAMPLQ"
PASSWORD = "hunter2" + "X!longer9"
LEAKS = {
    "signature.py": f"def connect(key='{KEY}'):\n    return key\n",
    "constant.py": f"PASSWORD = '{PASSWORD}'\n",
    "comment.py": f"# {KEY}\ndef plain():\n    pass\n",
    "docstring.py": f'def plain():\n    """Use {KEY} there."""\n',
    "address.py": f"URL = 'https://user:{PASSWORD}@host/'\n",
    "script.js": f"const apiKey = '{PASSWORD}';\n",
    "key.py": 'K = """-----BEGIN RSA ' + "PRIVATE KEY-----\nMIIEpSecretLine\nAbCdSecondLine\n"
    '-----END RSA PRIVATE KEY-----"""\nAFTER = 1\n',
}


@pytest.mark.parametrize("name", LEAKS)
def test_no_secret_enters_the_database(root: Path, name: str) -> None:
    make(root, {name: LEAKS[name], "plain.py": SOURCE})
    index = build(root)
    asked = [KEY.lower(), "hunter2", "longer9", "secretline", "secondline"]
    assert index.file(name), "the file itself is in"
    assert index.neighbours(asked, 5) == []
    index.set_buffer(name, LEAKS[name] + "\n")
    assert index.file(name)
    assert index.neighbours(asked, 5) == []
    index.close()
    file = schema.file_of(root)
    raw = b"".join(path.read_bytes() for path in file.parent.glob(f"{file.stem}*")).lower()
    for secret in (KEY, PASSWORD, "MIIEpSecretLine", "hunter2"):
        assert secret.lower().encode() not in raw


def test_rows_stay_where_they_were_when_a_secret_is_taken_out(root: Path) -> None:
    index = build(make(root, {"key.py": LEAKS["key.py"]}))
    (after,) = index.definitions("AFTER")
    assert index.lines(after.file, after.symbol.first, after.symbol.last) == "AFTER = 1"
    (chunk,) = index.neighbours(["after"], 3)
    assert index.text_of(chunk) == LEAKS["key.py"].removesuffix("\n")
    index.close()
