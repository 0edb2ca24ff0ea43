"""Kernels called from Python: what they take, keep and give."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rnnic import _jit, _machine_code

if _jit.DISABLED:
    pytest.skip("kernels run as plain Python", allow_module_level=True)


def weighted(numbers: Any, pair: Any, deep: Any, factor: Any, half: Any, negative: Any) -> Any:
    """Take what kernels can take."""
    total = 0.0
    for i in range(numbers.shape[0]):
        for j in range(numbers.shape[1]):
            total += numbers[i, j] * (j + 1)
    total += pair[0] + pair[1][0] * 2.0
    total += deep[1][0][1] * 3.0
    total += deep[1][1].shape[1]
    total += factor * 4.0
    total += half
    return -total if negative else total


def grown(numbers: Any, by: Any) -> None:
    """Write into an array."""
    for i in range(numbers.shape[0]):
        numbers[i] += by


def as_unsigned(value: Any) -> Any:
    """Return the number of 64 bits that has the same ones."""
    return np.uint64(value)


def is_large(value: Any) -> Any:
    """Return a truth."""
    return value > 10


def two(value: Any) -> Any:
    """Return what Python can't be given."""
    return value, value


def sum_of_rows(numbers: Any, rows: Any) -> Any:
    """Use what Numba does in a function of its own."""
    table = numbers.reshape(rows, -1)
    total = 0
    for i in range(rows):
        total += table[i, 0]
    return total


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_jit, "_kernel_folder", lambda: tmp_path)


def codes_of(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_file()]


@pytest.mark.parametrize("needs_numba", [False, True])
def test_arguments(needs_numba: bool) -> None:
    kernel = _jit.jit(weighted)
    kernel._needs_numba |= needs_numba
    base = np.arange(24, dtype=np.int32).reshape(4, 6)
    frozen = base.copy()
    frozen.flags.writeable = False
    for numbers in (
        base,
        base[::2, ::-1],
        base.T,
        base[:0],
        frozen,
        base.astype(np.float32),
        base > 5,
    ):
        for factor in (3, -(1 << 40), np.int64(4), np.uint8(255), np.float32(0.25), -1.5):
            for half in (0.5, np.float64(2.5), np.float32(1.25)):
                pair, deep = (2, (0.125, True)), (1, ((7, np.int16(-9)), frozen))
                for negative in (False, np.bool_(True)):
                    arguments = numbers, pair, deep, factor, half, negative
                    assert kernel(*arguments) == weighted(*arguments)


def test_arrays_of_files_are_arrays(tmp_path: Path) -> None:
    numbers = np.memmap(tmp_path / "numbers", np.int32, "w+", shape=(5,))
    _jit.jit(grown)(numbers, 3)
    assert numbers.tolist() == [3] * 5


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint64", "float32"])
def test_arrays_are_written(dtype: str) -> None:
    numbers = np.arange(12).astype(dtype)
    assert _jit.jit(grown)(numbers[1::3], 2) is None
    assert numbers.tolist() == [0, 3, 2, 3, 6, 5, 6, 9, 8, 9, 12, 11]


def test_results() -> None:
    assert _jit.jit(as_unsigned)(-1) == (1 << 64) - 1
    assert _jit.jit(as_unsigned)(np.uint64(1 << 63)) == 1 << 63
    assert _jit.jit(is_large)(11) is True
    assert _jit.jit(is_large)(9.5) is False


@pytest.mark.skipif(not _machine_code.SUPPORTED, reason="Numba calls kernels")
def test_what_python_cannot_pass() -> None:
    with pytest.raises(TypeError, match="kernels take no str"):
        _jit.jit(is_large)("12")
    with pytest.raises(TypeError, match="kernels return a number"):
        _jit.jit(two)(1)


def test_code_is_kept(tmp_path: Path) -> None:
    told: list[None] = []
    with _jit.tell_of_compiling(lambda: told.append(None)):
        assert _jit.jit(is_large)(11)
        assert told
        told.clear()
        assert _jit.jit(is_large)(12)
        assert not told
        assert _jit.jit(is_large)(12.0)
        assert told
    assert list(tmp_path.iterdir())


@pytest.mark.skipif(not _machine_code.SUPPORTED, reason="Numba keeps the code")
@pytest.mark.parametrize("keep", [0, 31, 200])
@pytest.mark.parametrize("change", [0, 1])
def test_damaged_code_is_made_again(tmp_path: Path, keep: int, change: int) -> None:
    assert _jit.jit(is_large)(11)
    (path,) = codes_of(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[:keep] + (bytes([whole[keep] ^ 1]) + whole[keep + 1 :]) * change)
    assert _jit.jit(is_large)(11)
    assert path.stat().st_size > 400
    assert _machine_code.read(path) is not None


@pytest.mark.skipif(not _machine_code.SUPPORTED, reason="Numba calls kernels")
def test_code_that_needs_numba_is_known_as_such(tmp_path: Path) -> None:
    numbers = np.arange(12)
    assert _jit.jit(sum_of_rows)(numbers, 3) == 12
    (path,) = codes_of(tmp_path)
    assert _machine_code.read(path) == _machine_code.Code("", "", b"")
    kernel = _jit.jit(sum_of_rows)
    assert kernel(numbers, 4) == 18
    assert "compiled" not in vars(kernel)


def test_a_folder_that_takes_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_jit, "_kernel_folder", lambda: tmp_path / "none")
    if _machine_code.SUPPORTED:
        assert _jit.jit(is_large)(11)
    monkeypatch.setattr(_jit, "_kernel_folder", lambda: None)
    assert _jit.jit(is_large)(11)


def test_the_cache_can_be_turned_off(tmp_path: Path) -> None:
    code = "from rnnic import _jit; assert _jit._kernel_folder() is None"
    for name, value in (("RNNIC_JIT_CACHE", "0"), ("RNNIC_CACHE_DIR", "/dev/null/rnnic")):
        subprocess.run([sys.executable, "-c", code], check=True, env={name: value})
    subprocess.run(
        [sys.executable, "-c", code.replace(" is", ".parent.parent is not")],
        check=True,
        env={"RNNIC_CACHE_DIR": str(tmp_path)},
    )
    assert (tmp_path / "kernels").is_dir()
