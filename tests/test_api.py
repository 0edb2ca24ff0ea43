import functools
import io
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checks import photo_like

import rnnic
from rnnic.metrics import max_error, psnr

IMAGE = photo_like(70, 90)
GREY = photo_like(33, 47, channels=1)


def test_all_is_there_and_documented() -> None:
    for name in rnnic.__all__:
        value = getattr(rnnic, name)
        assert value.__doc__ or name == "__version__"
    assert sorted(rnnic.__all__) == dir(rnnic)
    with pytest.raises(AttributeError, match="nothing_like_it"):
        _ = rnnic.nothing_like_it


def test_import_needs_neither_numpy_nor_numba() -> None:
    code = "import rnnic, sys; sys.exit(bool({'numpy', 'numba', 'PIL'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
def test_kernels_that_are_kept_need_no_numba() -> None:
    """Others in the process may want it, before or after."""
    rnnic.decode(rnnic.encode(GREY, step=3.0))
    code = """if True:
        import sys, numpy as np, rnnic
        from rnnic import _machine_code
        image = np.arange(33 * 47).astype(np.uint8).reshape(33, 47)
        pixels = rnnic.decode(rnnic.encode(image, step=3.0))
        assert ("numba" in sys.modules) != _machine_code.SUPPORTED
        import numba
        @numba.njit
        def median(values):
            return np.median(np.sort(values.astype(np.float64).ravel()))
        assert median(pixels) == np.median(pixels)
    """
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    "image", [IMAGE, GREY, GREY[:, :, None], IMAGE[::2, ::-1], np.asfortranarray(IMAGE)]
)
def test_shapes(image: np.ndarray) -> None:
    decoded = rnnic.decode(rnnic.encode(image, error_threshold=0))
    np.testing.assert_array_equal(decoded, image[:, :, 0] if image.shape[2:] == (1,) else image)
    assert rnnic.encode(image) == rnnic.encode(image.copy())


def test_grey_stays_grey_and_is_smaller() -> None:
    as_rgb = np.repeat(GREY[:, :, None], 3, axis=2)
    assert len(rnnic.encode(GREY)) < len(rnnic.encode(as_rgb))


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4), np.int16),
        np.zeros((4, 4), float),
        np.zeros((4, 4), bool),
        np.zeros((4, 4, 5), np.uint8),
        np.zeros((4, 4, 0), np.uint8),
        np.zeros(4, np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((4, 4, 3, 1), np.uint8),
        "text",
        None,
    ],
)
def test_what_is_no_image_is_refused(image: object) -> None:
    with pytest.raises(rnnic.UnsupportedImageError):
        rnnic.encode(image)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "options",
    [
        {"quality": -1},
        {"quality": 101},
        {"quality": float("nan")},
        {"error_threshold": -0.5},
        {"error_threshold": float("inf")},
        {"error_threshold": float("nan")},
        {"error_threshold": 443},
        {"target_psnr": float("nan")},
        {"target_bytes": 0},
        {"quality": 50, "error_threshold": 3},
        {"step": 0.1},
        {"effort": 10},
        {"target_psnr": 40, "target_bytes": 1000},
        {"method": "jpeg"},
        {"neighbors": "guess"},
        {"neighbors": 5},
        {"tile_size": 15},
        {"tile_size": 5000},
        {"threads": 0},
        {"no_such_option": 1},
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(rnnic.OptionError):
        rnnic.encode(IMAGE[:16, :16], **options)


def test_quality_is_a_threshold() -> None:
    small = IMAGE[:32, :32]
    raster = functools.partial(rnnic.encode, small, method="raster")
    assert raster(quality=100) == rnnic.encode(small, error_threshold=0)
    assert raster() == raster(quality=90) == rnnic.encode(small, error_threshold=4)


def test_default_method() -> None:
    small = IMAGE[:32, :32]
    assert rnnic.info(rnnic.encode(small)).method == "pyramid"
    assert rnnic.info(rnnic.encode(small, error_threshold=3)).method == "raster"
    assert rnnic.info(rnnic.encode(small, neighbors="ckdtree")).method == "pyramid"
    assert rnnic.encode(small) == rnnic.encode(small, quality=90, method="pyramid")


@pytest.mark.parametrize("goal", [32.0, 38.5, 44.0, 47.3])
def test_target_psnr(goal: float) -> None:
    found = psnr(rnnic.decode(rnnic.encode(IMAGE, target_psnr=goal, method="raster")), IMAGE)
    # Every palette scale has its own rounding: an image this small jumps by some tenths of a dB.
    assert goal <= found < goal + 0.7


def test_target_psnr_that_only_lossless_reaches() -> None:
    np.testing.assert_array_equal(
        rnnic.decode(rnnic.encode(IMAGE, target_psnr=200, method="raster")), IMAGE
    )


@pytest.mark.parametrize("goal", [2500, 5000, 12000])
def test_target_bytes(goal: int) -> None:
    size = len(rnnic.encode(IMAGE, target_bytes=goal, method="raster"))
    assert 0.93 * goal < size <= goal


def test_target_bytes_out_of_reach() -> None:
    with pytest.raises(rnnic.OptionError, match="can have"):
        rnnic.encode(IMAGE, target_bytes=50, method="raster")
    data = rnnic.encode(IMAGE, target_bytes=10**7, method="raster")
    np.testing.assert_array_equal(rnnic.decode(data), IMAGE)


@pytest.mark.parametrize(
    "region", [(0, 0, 90, 70), (0, 0, 1, 1), (89, 69, 1, 1), (15, 14, 40, 33), (16, 16, 32, 32)]
)
def test_region(region: tuple[int, int, int, int]) -> None:
    data = rnnic.encode(IMAGE, tile_size=16, method="raster")
    x, y, width, height = region
    part = rnnic.decode(data, region=region)
    np.testing.assert_array_equal(part, rnnic.decode(data)[y : y + height, x : x + width])


def test_region_decodes_only_the_tiles_it_needs() -> None:
    from rnnic.container import parse, serialize

    container = parse(memoryview(rnnic.encode(IMAGE, tile_size=16, method="raster")))
    tiles = [bytes(tile) for tile in container.tiles]
    tiles[-1] = b"\xff" * len(tiles[-1])
    data = serialize(container.header, tiles, container.metadata)
    rnnic.decode(data, region=(0, 0, 80, 64))
    with pytest.raises(rnnic.FormatError):
        rnnic.decode(data)


@pytest.mark.parametrize("region", [(-1, 0, 5, 5), (0, 0, 0, 5), (80, 0, 11, 5), (0, 0, 5, 71)])
def test_region_outside_is_refused(region: tuple[int, int, int, int]) -> None:
    with pytest.raises(rnnic.OptionError, match="not inside"):
        rnnic.decode(rnnic.encode(IMAGE), region=region)


@pytest.mark.parametrize("reduce", range(6))
@pytest.mark.parametrize("image", [IMAGE, GREY, IMAGE[:1, :1], IMAGE[:5, :33]])
def test_reduce(image: np.ndarray, reduce: int) -> None:
    data = rnnic.encode(image, tile_size=32, method="raster")
    small = rnnic.decode(data, reduce=reduce)
    size = 1 << reduce
    assert small.shape[:2] == (-(-image.shape[0] // size), -(-image.shape[1] // size))
    block = rnnic.decode(data)[:size, :size].mean(axis=(0, 1))
    assert np.abs(small[0, 0] - block).max() <= 1
    out = np.zeros_like(small)
    assert rnnic.decode(data, reduce=reduce, out=out) is out
    np.testing.assert_array_equal(out, small)


def test_region_at_reduced_size() -> None:
    data = rnnic.encode(IMAGE, tile_size=32, method="raster")
    for reduce, region in ((1, (0, 0, 90, 70)), (2, (33, 7, 20, 40)), (3, (8, 8, 9, 1))):
        x, y, width, height = region
        part = rnnic.decode(data, reduce=reduce, region=region)
        right, lower = -(-(x + width) >> reduce), -(-(y + height) >> reduce)
        whole = rnnic.decode(data, reduce=reduce)
        np.testing.assert_array_equal(part, whole[y >> reduce : lower, x >> reduce : right])
    for wrong in (-1, 6):
        with pytest.raises(rnnic.OptionError, match="reduce"):
            rnnic.decode(data, reduce=wrong)


def test_out() -> None:
    for image in (IMAGE, GREY):
        data = rnnic.encode(image, error_threshold=0)
        for out in (np.zeros_like(image), np.zeros(image.shape[::-1], np.uint8).T):
            assert rnnic.decode(data, out=out) is out
            np.testing.assert_array_equal(out, image)
    third = np.zeros((*GREY.shape, 1), np.uint8)
    np.testing.assert_array_equal(rnnic.decode(data, out=third)[:, :, 0], GREY)
    locked = np.zeros_like(GREY)
    locked.flags.writeable = False
    wrongs: list[Any] = [np.zeros((3, 3), np.uint8), np.zeros(GREY.shape, np.int8), locked]
    for wrong in wrongs:
        with pytest.raises(rnnic.OptionError, match="out must be"):
            rnnic.decode(data, out=wrong)


def test_max_pixels() -> None:
    data = rnnic.encode(GREY)
    with pytest.raises(rnnic.LimitError, match="max_pixels"):
        rnnic.decode(data, max_pixels=GREY.size - 1)
    rnnic.decode(data, max_pixels=GREY.size)


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "image.rnnic"
    metadata = rnnic.Metadata(text={"Title": "test"})
    size = rnnic.write(path, IMAGE, error_threshold=0, metadata=metadata)
    assert path.stat().st_size == size
    np.testing.assert_array_equal(rnnic.read(path), IMAGE)
    with path.open("rb") as file:
        np.testing.assert_array_equal(rnnic.read(file, region=(1, 2, 3, 4)), IMAGE[2:6, 1:4])
    with pytest.raises(FileExistsError):
        rnnic.write(path, GREY, overwrite=False)
    rnnic.write(path, GREY)
    stream = io.BytesIO()
    rnnic.write(stream, GREY)
    assert stream.getvalue() == path.read_bytes()
    path.write_bytes(stream.getvalue()[:-5])
    with pytest.raises(rnnic.TruncatedError, match=r"image\.rnnic"):
        rnnic.read(path)
    with pytest.raises(rnnic.TruncatedError, match=r"image\.rnnic"):
        rnnic.info(path)
    with pytest.raises(FileNotFoundError):
        rnnic.read(tmp_path / "missing.rnnic")


def test_info(tmp_path: Path) -> None:
    metadata = rnnic.Metadata(exif=b"abc", text={"k": "vv"})
    data = rnnic.encode(IMAGE, error_threshold=4.5, tile_size=32, metadata=metadata)
    path = tmp_path / "a.rnnic"
    path.write_bytes(data)
    found = rnnic.info(path)
    assert found == rnnic.info(data) == rnnic.info(io.BytesIO(data))
    assert found.metadata == metadata
    as_dict = found.to_dict()
    assert as_dict["bits_per_pixel"] == 8 * len(data) / (70 * 90)
    del as_dict["model_id"], as_dict["bits_per_pixel"]
    assert as_dict == {
        "width": 90,
        "height": 70,
        "channels": 3,
        "alpha": False,
        "bit_depth": 8,
        "method": "raster",
        "parameters": {"error_threshold": 4.5, "palette_scale": 5.625},
        "tile_size": 32,
        "tiles": 9,
        "file_size": len(data),
        "metadata": {"exif": 3, "text": 3},
    }


def test_progress_is_told() -> None:
    for neighbors in ("exact", "ckdtree"):
        told: list[tuple[float, str]] = []
        small = IMAGE[:40, :40]

        def tell(done: float, what: str, told: list[tuple[float, str]] = told) -> None:
            told.append((done, what))

        rnnic.encode(small, tile_size=16, method="raster", neighbors=neighbors, progress=tell)
        assert told == sorted(told)
        assert all(0 < done <= 1 for done, _ in told)


def test_calls_at_the_same_time() -> None:
    images = [photo_like(40, 50, seed=seed) for seed in range(6)]
    expected = [rnnic.encode(image, error_threshold=3) for image in images]
    found: dict[int, bytes] = {}

    def work(index: int) -> None:
        data = rnnic.encode(images[index], error_threshold=3)
        assert max_error(rnnic.decode(data), images[index]) <= 3
        found[index] = data

    threads = [threading.Thread(target=work, args=(index,)) for index in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[index] for index in range(6)] == expected


def test_metadata_rules() -> None:
    for key in ("", "k" * 80, "a\0b"):
        with pytest.raises(rnnic.OptionError, match="key"):
            rnnic.Metadata(text={key: ""})
    metadata = rnnic.Metadata(b"e", b"i", b"x", {"k": "v"})
    assert metadata.only({"icc", "text"}) == rnnic.Metadata(icc=b"i", text={"k": "v"})
    with pytest.raises(rnnic.OptionError, match="unknown kind"):
        metadata.only({"iptc"})


@pytest.mark.slow
def test_other_threads_run_while_pixels_are_coded() -> None:
    """Kernels leave the interpreter to others: a loop turns often while one long call is under way."""
    image = np.tile(photo_like(256, 256), (8, 8, 1))
    data = rnnic.encode(image, step=8.0, effort=1, tile_size=2048)
    for work in (
        lambda: rnnic.decode(data, threads=1),
        lambda: rnnic.encode(image, step=8.0, effort=1, tile_size=2048, threads=1),
    ):
        started, ended = threading.Event(), threading.Event()

        def run(work: Any = work, started: Any = started, ended: Any = ended) -> None:
            started.set()
            work()
            ended.set()

        thread = threading.Thread(target=run)
        thread.start()
        started.wait()
        turns = 0
        while not ended.is_set():
            turns += 1
        thread.join()
        assert turns > 5000
