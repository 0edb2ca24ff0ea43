import asyncio
import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from checks import photo_like, pixels_of
from hypothesis import assume, given
from hypothesis.extra import numpy as npst

import rnnic
from rnnic.integrations.stacks import encode_stack
from rnnic.metrics import max_error

zarr = pytest.importorskip("zarr")

from rnnic.integrations.zarr import RnnicCodec  # noqa: E402  # needs zarr

Pixels = npt.NDArray[Any]
LOSSLESS = RnnicCodec(error_threshold=0)


def volume_of(count: int, height: int, width: int, dtype: str = "uint16") -> Pixels:
    return np.stack([pixels_of(height, width, 1, dtype, seed) for seed in range(count)])


def create(array: Pixels, chunks: tuple[int, ...], store: Any = None, **options: Any) -> Any:
    """Return a Zarr array of chunks of images that holds an array."""
    arguments = {"serializer": LOSSLESS, "compressors": None} | options
    made = zarr.create_array(
        {} if store is None else store,
        shape=array.shape,
        chunks=chunks,
        dtype=array.dtype,
        **arguments,
    )
    made[...] = array
    return made


@pytest.mark.parametrize(
    ("array", "chunks"),
    [
        (photo_like(70, 90, channels=1), (32, 48)),
        (photo_like(70, 90), (32, 48, 3)),
        (pixels_of(40, 50, 4, "uint16"), (32, 32, 4)),
        (volume_of(5, 40, 50), (2, 32, 32)),
        (volume_of(6, 20, 30, "uint8").reshape(2, 3, 20, 30), (1, 2, 16, 16)),
        (np.stack([photo_like(20, 30, seed=seed) for seed in range(3)]), (2, 16, 16, 3)),
        (photo_like(20, 30)[:, :, None], (16, 16, 1, 3)),
    ],
    ids=["grey", "rgb", "rgba-16", "volume-16", "volumes", "rgb-stack", "one-column"],
)
def test_round_trip_without_loss(array: Pixels, chunks: tuple[int, ...]) -> None:
    made = create(array, chunks)  # chunks at the borders are filled up
    np.testing.assert_array_equal(made[...], array)


def test_regions_and_what_was_not_written() -> None:
    volume = volume_of(6, 50, 60)
    made = create(volume, (2, 32, 32), fill_value=7)
    for place in (np.s_[1:5, 10:45, 7], np.s_[:, 3], np.s_[2, 31:33, 31:33], np.s_[::2, ::5, 59]):
        np.testing.assert_array_equal(made[place], volume[place])
    made.resize((6, 50, 100))
    assert (made[:, :, 70:] == 7).all()
    made[3, 5:40, 55:70] = volume[3, 5:40, :15]
    np.testing.assert_array_equal(made[3, 5:40, 55:70], volume[3, 5:40, :15])
    np.testing.assert_array_equal(made[:3, :, :60], volume[:3])
    made[...] = 7
    assert made.nchunks_initialized == 0
    assert (made[...] == 7).all()


VOLUME = volume_of(5, 40, 50)


@pytest.fixture(name="stored", scope="module")
def _stored() -> Any:
    return create(VOLUME, (3, 32, 32))


@given(place=npst.basic_indices(VOLUME.shape, allow_newaxis=False))
def test_any_basic_selection(stored: Any, place: Any) -> None:
    steps = [
        part.step for part in np.atleast_1d(np.array(place, object)) if isinstance(part, slice)
    ]
    assume(all(step is None or step > 0 for step in steps))  # Zarr takes no others
    np.testing.assert_array_equal(stored[place], VOLUME[place])


def test_other_selections(stored: Any) -> None:
    rows, columns = np.array([3, 35, 12]), np.array([7, 49, 7, 0])
    found = stored.oindex[1:5, rows, columns]
    np.testing.assert_array_equal(found, VOLUME[1:5][:, rows][:, :, columns])
    np.testing.assert_array_equal(
        stored.vindex[[0, 4, 2], rows, [0, 49, 31]], VOLUME[[0, 4, 2], rows, [0, 49, 31]]
    )
    mask = VOLUME > 30000
    np.testing.assert_array_equal(stored.vindex[mask], VOLUME[mask])
    np.testing.assert_array_equal(stored.blocks[1, 1, 0], VOLUME[3:, 32:, :32])


def test_only_what_is_selected_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    made = create(VOLUME, VOLUME.shape)
    regions = []

    def noting(data: Any, *, region: Any, **options: Any) -> Pixels:
        regions.append(region)
        return rnnic.decode(data, region=region, **options)

    monkeypatch.setattr("rnnic.integrations.stacks.decode", noting)
    np.testing.assert_array_equal(made[1:4:2, 5:21:3, 9], VOLUME[1:4:2, 5:21:3, 9])
    assert regions == [(9, 5, 1, 16)] * 2


def test_loss_is_bounded_and_saves_space() -> None:
    image = photo_like(128, 128)
    sizes = []
    for codec in (LOSSLESS, RnnicCodec(error_threshold=8)):
        made = create(image, (64, 64, 3), serializer=codec)
        assert max_error(made[...], image) <= 8
        sizes.append(made.nbytes_stored())
    assert sizes[1] < sizes[0] < image.nbytes


def test_a_chunk_of_one_image_is_a_file(tmp_path: Path) -> None:
    image = photo_like(32, 32)
    create(image, (32, 32, 3), tmp_path, serializer=RnnicCodec(quality=80))
    np.testing.assert_array_equal(
        rnnic.read(tmp_path / "c" / "0" / "0" / "0"), rnnic.decode(rnnic.encode(image, quality=80))
    )


def test_reopened_in_a_process_that_does_not_import_it(tmp_path: Path) -> None:
    volume = volume_of(4, 40, 50)
    create(volume, (2, 32, 32), tmp_path / "a.zarr")
    np.save(tmp_path / "a.npy", volume)
    described = json.loads((tmp_path / "a.zarr" / "zarr.json").read_text())["codecs"]
    assert described == [{"name": "rnnic", "configuration": {"error_threshold": 0}}]
    code = (
        "import sys, numpy, zarr; found = zarr.open_array(sys.argv[1] + '/a.zarr', mode='r')[...];"
        "numpy.testing.assert_array_equal(found, numpy.load(sys.argv[1] + '/a.npy'))"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code, tmp_path], check=True)


def test_shards_filters_and_compressors() -> None:
    volume = volume_of(4, 64, 64)
    sharded = create(volume, (1, 32, 32), shards=(2, 64, 64))
    np.testing.assert_array_equal(sharded[...], volume)
    np.testing.assert_array_equal(sharded[1, 20:40, 30:50], volume[1, 20:40, 30:50])
    compressed = create(volume, (2, 32, 32), compressors=zarr.codecs.GzipCodec())
    np.testing.assert_array_equal(compressed[...], volume)
    planes = np.moveaxis(photo_like(40, 50), 2, 0)
    moved = create(planes, (3, 32, 32), filters=zarr.codecs.TransposeCodec(order=(1, 2, 0)))
    np.testing.assert_array_equal(moved[...], planes)
    assert moved.nbytes_stored() < create(planes, (3, 32, 32)).nbytes_stored()


def test_big_endian_arrays() -> None:
    volume = volume_of(2, 20, 30)
    made = create(volume.astype(">u2"), (2, 16, 16))
    np.testing.assert_array_equal(made[...], volume)


def test_column_major_arrays() -> None:
    volume = volume_of(3, 20, 30)
    made = create(np.asfortranarray(volume), (2, 16, 16), config={"order": "F"})
    np.testing.assert_array_equal(made[...], volume)


def test_configuration() -> None:
    codec = RnnicCodec(quality=80.5, effort=2, layout="HW", threads=2)
    described = codec.to_dict()
    assert described == {
        "name": "rnnic",
        "configuration": {"effort": 2, "layout": "HW", "quality": 80.5},
    }
    again = RnnicCodec.from_dict(json.loads(json.dumps(described)))
    assert again == codec == pickle.loads(pickle.dumps(codec))
    assert hash(again) == hash(codec)
    assert RnnicCodec.from_dict({"name": "rnnic"}) == RnnicCodec() != codec


@pytest.mark.parametrize(
    "options", [{"quality": 101}, {"colour": "red"}, {"layout": "CHW"}, {"neighbors": object}]
)
def test_wrong_options(options: dict[str, Any]) -> None:
    with pytest.raises(rnnic.OptionError):
        RnnicCodec(**options)
    with pytest.raises(rnnic.OptionError):
        RnnicCodec.from_dict({"name": "rnnic", "configuration": options})


@pytest.mark.parametrize(
    ("dtype", "shape", "layout"),
    [
        ("float32", (8, 8), "auto"),
        ("int16", (8, 8), "auto"),
        ("uint8", (8,), "auto"),
        ("uint8", (8, 8), "HWC"),
    ],
)
@pytest.mark.parametrize("shards", [False, True])
def test_arrays_that_are_no_images_are_refused(
    dtype: str, shape: tuple[int, ...], layout: str, shards: bool
) -> None:
    with pytest.raises(rnnic.UnsupportedImageError):
        zarr.create_array(
            {},
            shape=shape,
            chunks=(4,) * len(shape),
            shards=shape if shards else None,
            dtype=dtype,
            serializer=RnnicCodec(layout=layout),
            compressors=None,
        )


def test_chunks_that_are_no_images_are_refused() -> None:
    with pytest.raises(rnnic.UnsupportedImageError, match=r"\(7, 9, 8\)"):
        zarr.create_array(
            {},
            shape=(7, 9, 8),
            chunks=(7, 9, 8),
            dtype="uint8",
            serializer=RnnicCodec(layout="HWC"),
        )


def test_chunks_that_are_no_images_without_a_transposition() -> None:
    with pytest.raises(rnnic.UnsupportedImageError, match=r"\(3, 8, 8\)"):
        create(np.ones((3, 8, 8), np.uint8), (3, 8, 8), serializer=RnnicCodec(layout="HWC"))


def test_damaged_chunks(tmp_path: Path) -> None:
    image = photo_like(32, 32)
    made = create(image, (32, 32, 3), tmp_path)
    path = tmp_path / "c" / "0" / "0" / "0"
    intact = path.read_bytes()
    path.write_bytes(intact[:-20])
    with pytest.raises(rnnic.TruncatedError):
        made[...]
    path.write_bytes(rnnic.encode(image[:, :31]))
    with pytest.raises(rnnic.FormatError, match=r"\(32, 31, 3\)"):
        made[...]
    path.write_bytes(rnnic.encode(image.astype(np.uint16)))
    with pytest.raises(rnnic.FormatError, match="uint16"):
        made[...]


def test_size_is_not_known_before() -> None:
    with pytest.raises(NotImplementedError):
        LOSSLESS.compute_encoded_size(100, create(photo_like(8, 8), (8, 8, 3)).metadata)


def test_coding_leaves_the_event_loop_free(monkeypatch: pytest.MonkeyPatch) -> None:
    encode, calls = encode_stack, []

    def without_loop(*arguments: Any) -> bytes:
        with pytest.raises(RuntimeError, match="no running event loop"):
            asyncio.get_running_loop()
        calls.append(arguments)
        return encode(*arguments)

    monkeypatch.setattr("rnnic.integrations.zarr.encode_stack", without_loop)
    create(photo_like(8, 8), (8, 8, 3))
    assert len(calls) == 1


def test_zarr_2_through_numcodecs(tmp_path: Path) -> None:
    from rnnic.integrations.numcodecs import Rnnic

    for index, array in enumerate((photo_like(40, 50), volume_of(3, 40, 50))):
        chunks = (32, 32, 3) if index == 0 else (2, 32, 32)
        made = zarr.create_array(
            tmp_path / f"{index}.zarr",
            shape=array.shape,
            chunks=chunks,
            dtype=array.dtype,
            zarr_format=2,
            filters=None,
            compressors=Rnnic(error_threshold=0),
        )
        made[...] = array
        np.testing.assert_array_equal(zarr.open_array(tmp_path / f"{index}.zarr")[...], array)
