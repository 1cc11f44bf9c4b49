"""Which samples a step takes, and how they lie in rows."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune.packing import END, MIDDLE, PREFIX, Packer, load, share
from finetune.store import FILE, SampleSet
from tandem.errors import UsageError
from tests import tiny_samples


def sample(length: int, middle: int, first: int = 0) -> tuple[list[int], list[float], int]:
    return list(range(first, first + length)), [0.5] * middle + [1.0] * (length - middle), middle


def packer(lengths: list[int], tokens: int = 64, seed: int = 0) -> Packer:
    return Packer(SampleSet.of([sample(n, n // 2) for n in lengths]), seed, tokens)


lengths = st.lists(st.integers(2, 64), min_size=1, max_size=30)


@given(lengths, st.integers(0, 5))
def test_each_epoch_takes_every_sample_once(sizes: list[int], seed: int) -> None:
    packed = packer(sizes, seed=seed)
    for epoch in range(3):
        count = len(sizes)
        order = [packed.sample_at(epoch * count + i) for i in range(count)]
        assert sorted(order) == list(range(count))


@given(lengths, st.integers(0, 200))
def test_a_position_alone_decides_the_step(sizes: list[int], position: int) -> None:
    fresh, used = packer(sizes), packer(sizes)
    used.step(0)
    picked, after = fresh.step(position)
    assert used.step(position) == (picked, after)
    assert after - position == len(picked) > 0
    assert fresh.tokens(picked) <= 64
    assert fresh.tokens(picked) + sizes[fresh.sample_at(after)] > 64


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    one, other = packer([5] * 50), packer([5] * 50, seed=1)
    orders = [[p.sample_at(e * 50 + i) for i in range(50)] for p in (one, other) for e in (0, 1)]
    assert len({tuple(order) for order in orders}) == 4


@given(lengths, st.integers(64, 200))
def test_rows_hold_the_samples_in_order_without_padding(sizes: list[int], room: int) -> None:
    packed = packer(sizes)
    picked = list(range(len(sizes)))
    rows = list(packed.rows(picked, room))
    assert [n for row in rows for n in row.lengths] == sizes
    for row in rows:
        assert len(row.ids) == len(row.positions) == sum(row.lengths) <= room
    ids = np.concatenate([row.ids.numpy() for row in rows])
    assert (ids == packed.samples.ids).all()


@given(st.lists(st.tuples(st.integers(2, 64), st.booleans()), min_size=1, max_size=30))
def test_what_is_replayed_has_rows_of_its_own(found: list[tuple[int, bool]]) -> None:
    sizes = [size for size, _ in found]
    samples = SampleSet.of([sample(n, n // 2) for n in sizes])
    replayed = np.array([again for _, again in found])
    packed = Packer(replace(samples, replayed=replayed), 0, 64)
    rows = list(packed.rows(range(len(sizes)), 100))
    for again in (False, True):
        wanted = [size for size, which in found if which == again]
        assert [n for row in rows if row.replayed == again for n in row.lengths] == wanted


def test_a_row_knows_its_targets() -> None:
    packed = Packer(SampleSet.of([sample(5, 3), sample(4, 1, 20)]), 0, 64)
    row = packed.row([0, 1])
    assert row.ids.tolist() == [0, 1, 2, 3, 4, 20, 21, 22, 23]
    assert row.positions.tolist() == [0, 1, 2, 3, 4, 0, 1, 2, 3]
    # A sample's first token follows nothing.
    assert row.at.tolist() == [1, 2, 3, 4, 6, 7, 8]
    assert row.weights.tolist() == [0.5, 0.5, 1, 1, 1, 1, 1]
    assert row.parts.tolist() == [PREFIX, PREFIX, MIDDLE, END, MIDDLE, MIDDLE, END]
    assert packed.weight([0, 1]) == 6.0


def test_a_token_without_weight_is_no_target() -> None:
    packed = Packer(SampleSet.of([([7, 8, 9, 10], [0.0, 0.0, 1.0, 1.0], 2)]), 0, 64)
    assert packed.row([0]).at.tolist() == [2, 3]


@given(lengths, st.integers(1, 5))
def test_processes_share_a_step_without_loss(sizes: list[int], size: int) -> None:
    picked = list(range(len(sizes)))
    parts = [share(picked, np.array(sizes), size, rank) for rank in range(size)]
    assert sorted(i for part in parts for i in part) == picked
    loads = [sum(sizes[i] for i in part) for part in parts]
    assert max(loads) - min(loads) <= max(sizes)


def test_a_share_may_be_empty() -> None:
    assert share([4], np.array([1, 1, 1, 1, 9]), 2, 0) == [4]
    assert share([4], np.array([1, 1, 1, 1, 9]), 2, 1) == []


def saved(folder: Path, **changes: np.ndarray) -> Path:
    samples = tiny_samples.make(folder, 5)
    SampleSet(**{**vars(samples), **changes}).save(folder)
    return folder


def test_good_samples_are_read(tmp_path: Path) -> None:
    assert len(load(saved(tmp_path), 64, 512)) == 5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lengths": np.array([3], np.int32)}, "lengths do not add up"),
        ({"middles": np.zeros(2, np.int32)}, "lengths do not add up"),
        ({"replayed": np.zeros(2, bool)}, "lengths do not add up"),
        ({"lengths": np.zeros(0, np.int32)}, "holds no samples"),
    ],
)
def test_damaged_samples_are_refused(
    changes: dict[str, np.ndarray], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        load(saved(tmp_path, **changes), 64, 512)


def test_samples_that_cannot_be_trained_on_are_refused(tmp_path: Path) -> None:
    good = tiny_samples.make(tmp_path / "good", 5)
    longest = int(good.lengths.max())
    with pytest.raises(UsageError, match=f"A sample in .* has {longest} tokens, and at most 9"):
        load(tmp_path / "good", 9, 512)
    with pytest.raises(UsageError, match="for another model"):
        load(tmp_path / "good", 64, 20)
    nothing = saved(tmp_path / "zero", weights=np.zeros_like(good.weights))
    with pytest.raises(UsageError, match=r"No token .* has a weight"):
        load(nothing, 64, 512)
    negative = saved(tmp_path / "negative", weights=-good.weights)
    with pytest.raises(UsageError, match="below zero"):
        load(negative, 64, 512)


@pytest.mark.parametrize("content", [None, b"", b"not safetensors", b"\x80\x04pickle"])
def test_a_folder_without_samples_is_refused(content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / FILE).write_bytes(content)
    with pytest.raises(UsageError, match="no readable samples"):
        load(tmp_path, 64, 512)


def test_a_file_with_other_arrays_is_refused(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"other": np.zeros(3)}, tmp_path / FILE)
    with pytest.raises(UsageError, match="no readable samples"):
        load(tmp_path, 64, 512)
