"""What a question is shown of a repository, and which chats are kept of it."""

import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from completion import chat_history
from completion.chat_context import Selection, gather, lines_of, selection_of
from completion.chat_history import LONGEST, MOST_CHATS, History
from completion.counting import estimate
from completion.document import Document
from completion.index import Index, Indexer
from completion.messages import Message
from tandem.errors import UsageError

UTIL = '''\
def format_price(cents: int) -> str:
    """Cents as people read them."""
    return f"{cents / 100:.2f}"


class Basket:
    """What is bought."""

    def add(self, item: str) -> None:
        self.items.append(item)
'''
APP = "from util import format_price\n\n\ndef show(cents):\n    print(format_price(cents))\n"


@pytest.fixture
def root(empty_home: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    (folder / ".git").mkdir(parents=True)
    (folder / "util.py").write_text(UTIL)
    (folder / "app.py").write_text(APP)
    (folder / "other.py").write_text("def checkout_voucher(basket):\n    return basket.voucher\n")
    return folder


@pytest.fixture
def index(root: Path) -> Iterator[Index]:
    Indexer(root).update(lambda *_: None)
    index = Index(root)
    yield index
    index.close()


def test_a_place_is_a_file_a_line_or_a_range(root: Path) -> None:
    file = root / "util.py"
    assert selection_of(str(file)).text == UTIL
    assert selection_of(f"{file}:1").text == "def format_price(cents: int) -> str:\n"
    two = selection_of(f"{file}:6-7")
    assert two.text == 'class Basket:\n    """What is bought."""\n'
    assert two.name(root) == "util.py, lines 6–7"
    assert selection_of(f"{file}:10").name(root) == "util.py, line 10"
    assert selection_of(str(file)).name(root) == "util.py"


def test_a_file_whose_name_ends_like_a_place_is_that_file(root: Path) -> None:
    odd = root / "notes:12"
    odd.write_text("a note\n")
    assert selection_of(str(odd)).text == "a note\n"


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("gone.py", "Cannot read"),
        ("util.py:99", "has no line 99"),
        ("util.py:0", "has no line 0"),
        ("util.py:5-2", "has no line 5-2"),
        (".env", "file of secrets"),
        (".env:1", "file of secrets"),
    ],
)
def test_places_that_are_not_there_are_told(root: Path, place: str, told: str) -> None:
    (root / ".env").write_text("KEY=1\n")
    with pytest.raises(UsageError, match=told):
        selection_of(str(root / place))


@given(st.text(alphabet="a\n\r\x0c\u2028"))
def test_lines_end_with_newlines_only(text: str) -> None:
    lines = lines_of(text)
    assert "".join(lines) == text
    assert all(line.count("\n") == line.endswith("\n") for line in lines)
    assert "" not in lines


def test_selected_code_brings_what_it_uses(root: Path, index: Index) -> None:
    named, *found = gather("", [selection_of(f"{root}/app.py:4-5")], index, estimate)
    assert (named.name, named.named) == ("app.py, lines 4–5", True)
    [used] = found
    assert used.name == "util.py, line 1"
    assert "def format_price(cents: int) -> str:" in used.text
    assert not used.named


def test_names_in_a_question_bring_their_definitions(index: Index) -> None:
    function, whole = gather("Does format_price round? And Basket?", [], index, estimate)
    assert function.reason == "defines format_price"
    assert 'return f"{cents / 100:.2f}"' in function.text
    assert "def add(self, item: str) -> None" in whole.text
    assert "append" not in whole.text


def test_words_of_a_question_bring_chunks_that_say_most_of_them(index: Index) -> None:
    [found] = gather("where is the voucher of a basket at the checkout?", [], index, estimate)
    assert found.name.startswith("other.py")
    assert found.reason == "says basket, checkout, voucher"


def test_a_general_question_brings_nothing(index: Index) -> None:
    assert gather("What is a tuple in Python?", [], index, estimate) == []


def test_what_is_selected_is_not_shown_twice(root: Path, index: Index) -> None:
    parts = gather("Explain format_price.", [selection_of(f"{root}/util.py")], index, estimate)
    assert [part.name for part in parts] == ["util.py"]


def test_without_an_index_there_is_what_was_selected(root: Path) -> None:
    text = "x = 1\n"
    selection = Selection(Document(Path("untitled"), "python", text), 0, 0)
    assert [part.text for part in gather("why?", [selection], None, estimate)] == [text]
    unbuilt = Index(root)
    assert len(gather("format_price?", [selection], unbuilt, estimate)) == 1
    unbuilt.close()


def test_a_chat_is_kept_with_its_workspace(root: Path) -> None:
    history = chat_history.new(root)
    assert history.messages() == []
    history.add(Message("user", "why?"))
    history.add(Message("assistant", "because"), "cut")
    again = chat_history.latest(root)
    assert again.messages() == [Message("user", "why?"), Message("assistant", "because")]
    assert [line.note for line in again.lines()] == ["", "cut"]
    first = json.loads(history.file.read_text().split("\n")[0])
    assert first == {"v": 1, "workspace": str(root)}
    assert stat.S_IMODE(history.file.stat().st_mode) == 0o600
    assert chat_history.latest(root / "elsewhere").messages() == []


def test_a_kept_chat_holds_no_secrets(root: Path) -> None:
    history = chat_history.new(root)
    history.add(Message("user", "my key is sk-" + "a1b2c3d4e5f6a7b8c9d0e1f2"))
    assert "sk-a1" not in history.file.read_text()


def test_long_messages_lose_their_middle(root: Path) -> None:
    history = chat_history.new(root)
    history.add(Message("user", "a" * LONGEST + "b" * LONGEST))
    [message] = history.messages()
    assert len(message.content) < LONGEST + 10
    assert message.content.startswith("aaa")
    assert message.content.endswith("bbb")


def test_damaged_and_foreign_lines_are_passed_over(root: Path) -> None:
    history = chat_history.new(root)
    history.add(Message("user", "one"))
    with history.file.open("ab") as stream:
        stream.write(b'{"v": 2, "role": "user", "content": "x", "time": 0}\n\xff{\n[]\n')
    history.add(Message("assistant", "two"))
    assert [message.content for message in history.messages()] == ["one", "two"]


def test_a_chat_that_has_grown_is_read_from_its_end(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chat_history, "MOST_BYTES", 2000)
    history = chat_history.new(root)
    for n in range(100):
        history.add(Message("user", f"message {n}"))
    assert 0 < len(history.messages()) < 40
    assert history.messages()[-1].content == "message 99"


def test_the_oldest_chats_go(root: Path) -> None:
    folder = chat_history.new(root).file.parent
    for n in range(MOST_CHATS + 5):
        History(folder / f"2020-{n:03}.jsonl", root).add(Message("user", str(n)))
    chat_history.new(root).add(Message("user", "newest"))
    kept = chat_history.of_workspace(root)
    assert len(kept) == MOST_CHATS
    assert kept[-1].messages()[0].content == "newest"
    assert kept[0].messages()[0].content == "6"
