"""Decoding what is left of damaged files: ``on_error="fill"`` and its report."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checks import pixels_of
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import rnnic
from rnnic.cli import command_line
from rnnic.container import parse
from rnnic.files import load_image
from rnnic.metadata import Metadata
from rnnic.metrics import psnr

SIZE = 160, 200
TILE = 64
FORMATS = [(1, np.uint8), (3, np.uint8), (4, np.uint8), (3, np.uint16), (2, np.uint16)]


def encoded(
    method: str, channels: int = 3, dtype: Any = np.uint8, tile: int = TILE
) -> tuple[np.ndarray, bytes]:
    image = pixels_of(*SIZE, channels, dtype)
    metadata = Metadata(icc=b"profile" * 20)
    return image, rnnic.encode(image, method=method, tile_size=tile, metadata=metadata)


def tile_span(data: bytes, index: int) -> tuple[int, int]:
    """Return where the payload of a tile is in a file."""
    payload = bytes(parse(memoryview(data)).tiles[index])
    at = data.index(payload)
    return at, at + len(payload)


def flipped(data: bytes, at: int) -> bytes:
    changed = bytearray(data)
    changed[at] ^= 0x55
    return bytes(changed)


def with_length(data: bytes, begin: int, length: int) -> bytes:
    """Return a file that says the payload from `begin` on has another length."""
    return data[: begin - 4] + length.to_bytes(4, "little") + data[begin:]


@pytest.mark.parametrize("method", ["pyramid", "raster"])
@pytest.mark.parametrize(("channels", "dtype"), FORMATS)
def test_other_tiles_are_as_they_were(channels: int, dtype: Any, method: str) -> None:
    _, data = encoded(method, channels, dtype)
    whole = rnnic.decode(data)
    begin, end = tile_span(data, 5)
    bad = flipped(data, (begin + end) // 2)
    with pytest.raises(rnnic.ChecksumError):
        rnnic.decode(bad)
    with pytest.warns(rnnic.DamageWarning, match=r"tile 5 at 64,64 \(64 x 64 pixels\).*CRC"):
        found = rnnic.decode(bad, on_error="fill")
    assert found.shape == whole.shape
    assert found.dtype == whole.dtype
    inside = np.zeros(SIZE, bool)
    inside[64:128, 64:128] = True
    np.testing.assert_array_equal(found[~inside], whole[~inside])
    colours = found if channels == 1 else found[:, :, : channels - (channels % 2 == 0)]
    assert (colours[inside] == (np.iinfo(dtype).max + 1) // 2).all()
    if channels % 2 == 0:
        assert (found[inside][:, -1] == np.iinfo(dtype).max).all()


@pytest.mark.parametrize("method", ["pyramid", "raster"])
def test_an_intact_file_has_no_damage(method: str) -> None:
    _, data = encoded(method)
    found = rnnic.decode_report(data)
    assert not found.damage
    assert found.damage.lines() == []
    assert found.metadata.icc == b"profile" * 20
    np.testing.assert_array_equal(found.pixels, rnnic.decode(data))
    np.testing.assert_array_equal(rnnic.decode(data, on_error="fill"), found.pixels)


@pytest.mark.parametrize(
    ("method", "fill"), [("pyramid", "coarser levels"), ("raster", "rows above")]
)
def test_a_tile_that_is_cut_off_is_used_as_far_as_it_goes(method: str, fill: str) -> None:
    image, data = encoded(method)
    begin, end = tile_span(data, 5)
    pixels, damage, _ = rnnic.decode_report(data[: begin + 4 * (end - begin) // 5])
    assert [tile.tile for tile in damage.tiles] == list(range(5, 12))
    assert damage.tiles[0].fill == fill
    assert {tile.fill for tile in damage.tiles[1:]} == {"grey"}
    assert "cut off" in damage.notes[0]
    part = np.s_[64:128, 64:128]
    grey = np.full_like(image[part], 128)
    assert psnr(pixels[part], image[part]) > psnr(grey, image[part]) + 2


@pytest.mark.parametrize("tile", [TILE, 256])
def test_lost_metadata_is_noted(tile: int) -> None:
    _, data = encoded("pyramid", tile=tile)
    profile = data.index(b"profile")
    for at in (profile, profile - 5, profile - 4, profile - 8):
        found = rnnic.decode_report(flipped(data, at))
        np.testing.assert_array_equal(found.pixels, rnnic.decode(data))
        assert found.metadata.icc is None
        assert ["metadata is lost" in note for note in found.damage.notes] == [True]
        assert not found.damage.tiles
    with pytest.raises(rnnic.FormatError):
        rnnic.decode_report(flipped(data, profile - 4)[: profile + 3])


def test_an_only_tile_is_used_as_far_as_it_goes() -> None:
    image, data = encoded("pyramid", tile=256)
    begin, end = tile_span(data, 0)
    for bad, fill in (
        (flipped(data, (begin + end) // 2), "grey"),
        (with_length(data, begin, end - begin - 16), "grey"),
        (with_length(data, begin, end - begin + 16), "coarser levels"),
        (flipped(data, begin - 1), "coarser levels"),
        (data[: (begin + end) // 2], "coarser levels"),
        (data[:begin], "grey"),
    ):
        pixels, damage, metadata = rnnic.decode_report(bad)
        assert [(tile.tile, tile.fill) for tile in damage.tiles] == [(0, fill)]
        assert metadata.icc is not None
        assert (psnr(pixels, image) > psnr(np.full_like(image, 128), image)) is (fill != "grey")
    with pytest.raises(rnnic.TruncatedError):
        rnnic.decode_report(data[: begin - 2])


def test_without_header_or_index_nothing_can_be_decoded() -> None:
    _, data = encoded("pyramid")
    for at in (3, 20, data.index(b"TIDX") + 9):
        with pytest.raises(rnnic.FormatError):
            rnnic.decode(flipped(data, at), on_error="fill")
    with pytest.raises(rnnic.OptionError, match="on_error"):
        rnnic.decode(data, on_error="ignore")  # type: ignore[arg-type]


def test_regions_and_reduced_sizes() -> None:
    _, data = encoded("pyramid")
    begin, _ = tile_span(data, 5)
    bad = flipped(data, begin + 30)
    assert not rnnic.decode_report(bad, region=(0, 0, 64, 160)).damage
    for reduce in (1, 3):
        pixels, damage, _ = rnnic.decode_report(bad, reduce=reduce)
        whole = rnnic.decode(data, reduce=reduce)
        box = np.s_[64 >> reduce : 128 >> reduce, 64 >> reduce : 128 >> reduce]
        assert (pixels[box] == 128).all()
        pixels[box] = whole[box]
        np.testing.assert_array_equal(pixels, whole)
        assert damage.tiles[0].x == 64


@pytest.mark.slow
@given(data=st.data())
def test_any_damage_is_an_image_or_a_typed_error(data: st.DataObject) -> None:
    method = data.draw(st.sampled_from(["pyramid", "raster"]))
    channels, dtype = data.draw(st.sampled_from(FORMATS))
    image, file = encoded(method, channels, dtype)
    changed = bytearray(file)
    for _ in range(data.draw(st.integers(0, 4))):
        changed[data.draw(st.integers(0, len(file) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(file)))
    try:
        pixels, damage, _ = rnnic.decode_report(bytes(changed[:cut]))
    except rnnic.RnnicError:
        return
    assert pixels.shape == image.shape
    if cut < len(file):
        assert damage


def test_keep_going_on_the_command_line(tmp_path: Path) -> None:
    _, data = encoded("pyramid")
    begin, _ = tile_span(data, 3)
    bad, out = tmp_path / "bad.rnnic", tmp_path / "out.png"
    bad.write_bytes(flipped(data, begin + 9))
    refused = CliRunner().invoke(command_line, ["decompress", str(bad), str(out)])
    assert refused.exit_code == 1
    assert not out.exists()
    result = CliRunner().invoke(command_line, ["decompress", str(bad), str(out), "--keep-going"])
    assert result.exit_code == 1
    assert "bad.rnnic: tile 3 at 192,0 (8 x 64 pixels): its CRC-32" in result.stderr
    assert load_image(out).pixels.shape == (*SIZE, 3)
    good = tmp_path / "good.rnnic"
    good.write_bytes(data)
    arguments = ["decompress", str(good), str(out), "--keep-going", "--overwrite"]
    assert CliRunner().invoke(command_line, arguments).exit_code == 0
