from pathlib import Path

import numpy as np
import pytest
from make_fixtures import FOLDER, VERSION, checksum, fixtures, small_model

import rnnic
from rnnic import reference
from rnnic.model import Model

MODEL = Model.load(Path(rnnic.__file__).parent / "models" / "default.rnnm")
LINES = [
    (folder.name, *line.split())
    for folder in sorted(FOLDER.glob("v*"))
    for line in (folder / "checksums.txt").read_text().splitlines()
]


@pytest.mark.parametrize(("version", "crc", "name"), LINES)
def test_fixtures_decode_to_the_same_pixels(version: str, crc: str, name: str) -> None:
    data = (FOLDER / version / name).read_bytes()
    pixels = rnnic.decode(data, model=MODEL)
    assert f"{checksum(pixels):08x}" == crc
    rows = np.array(reference.decode(data, MODEL.to_bytes()), pixels.dtype)
    np.testing.assert_array_equal(rows.reshape(pixels.shape), pixels)


@pytest.mark.slow
def test_the_same_input_gives_the_committed_bytes() -> None:
    for name, data in fixtures():
        assert data == (FOLDER / VERSION / f"{name}.rnnic").read_bytes(), name


@pytest.mark.slow
def test_training_gives_the_committed_model() -> None:
    assert small_model().to_bytes() == (FOLDER / "small.rnnm").read_bytes()
