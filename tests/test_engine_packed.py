"""The file that keeps packed weights: the same model at the next start, or packed again."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from completion.engine import packed
from completion.engine.int8 import Int8Model
from completion.engine.packer import Packer
from tandem import paths
from tests import tiny_models

TOKENS = list(range(3, 60))


@pytest.fixture
def folder(tmp_path: Path, empty_home: Path) -> Path:
    folder = tmp_path / "model"
    tiny_models.make(folder, "qwen2")  # it has biases
    return folder


@pytest.fixture
def packings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A number for each time that a model was packed."""
    made: list[int] = []
    pack = Packer.contents

    def counted(self, tensors, layers):
        made.append(layers)
        return pack(self, tensors, layers)

    monkeypatch.setattr(Packer, "contents", counted)
    return made


def logits(folder: Path) -> torch.Tensor:
    model = Int8Model.load(folder, 128)
    return model.logits(model.forward(TOKENS, model.new_cache()))


def kept() -> list[Path]:
    return sorted(paths.packed_dir().iterdir())


def test_the_next_start_maps_the_same_weights(folder: Path, packings: list[int]) -> None:
    first = logits(folder)
    (file,) = kept()
    assert file.stat().st_mode & 0o777 == 0o600
    assert torch.equal(logits(folder), first)
    assert len(packings) == 1
    contents = packed.read(file)
    assert contents is not None
    for matrix in contents.matrices.values():
        assert matrix.weights.data_ptr() % packed.ALIGNMENT == 0


def changed(data: bytearray) -> None:
    data[-200] ^= 1


def cut(data: bytearray) -> None:
    del data[-1000:]


def grown(data: bytearray) -> None:
    data += bytes(64)


def emptied(data: bytearray) -> None:
    data.clear()


def header_changed(data: bytearray) -> None:
    data[30:40] = b"{" * 10


def length_changed(data: bytearray) -> None:
    data[16:24] = b"\xff" * 8


def magic_changed(data: bytearray) -> None:
    data[0] = 0


@pytest.mark.parametrize(
    "change",
    [changed, cut, grown, emptied, header_changed, length_changed, magic_changed],
    ids=lambda change: change.__name__,
)
def test_a_damaged_file_is_made_anew(
    folder: Path, packings: list[int], change: Callable[[bytearray], None]
) -> None:
    first = logits(folder)
    (file,) = kept()
    data = bytearray(file.read_bytes())
    change(data)
    file.write_bytes(data)
    assert torch.equal(logits(folder), first)
    assert len(packings) == 2
    assert torch.equal(logits(folder), first)
    assert len(packings) == 2


def test_other_weights_have_a_file_of_their_own_and_the_oldest_are_dropped(
    folder: Path, packings: list[int]
) -> None:
    first = logits(folder)
    tiny_models.make(folder, "llama tied")
    assert not torch.equal(logits(folder), first)
    assert len(packings) == len(kept()) == 2
    config = folder / "config.json"
    for n in range(3):
        os.utime(config, ns=(n, n))
        logits(folder)
    assert len(packings) == 5
    assert len(kept()) == packed.KEPT


def test_without_a_place_to_keep_them_weights_are_packed_each_time(
    folder: Path, packings: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = folder / "config.json" / "packed"
    monkeypatch.setattr(paths, "packed_dir", lambda: nowhere)
    assert torch.equal(logits(folder), logits(folder))
    assert len(packings) == 2
