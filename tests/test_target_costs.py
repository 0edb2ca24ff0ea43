"""What targets cost, counted in encodes, and where drawings and other kinds of pixels land."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from checks import photo_like

import rnnic
from rnnic import encoder as image_encoder
from rnnic import encoding
from rnnic.alpha import encode_alpha
from rnnic.encoder import ImageEncoder
from rnnic.lossless import encode_within, looks_drawn
from rnnic.metrics import psnr
from rnnic.pyramid import choice, encoder
from rnnic.pyramid import method as pyramid_method
from rnnic.pyramid.decoder import decode_tile
from rnnic.pyramid.format import PyramidParams
from rnnic.pyramid.method import SECTION
from rnnic.pyramid.model import PyramidModel
from rnnic.pyramid.tuning import fit_pass
from rnnic.raster import method as raster_method

pytestmark = pytest.mark.slow


@pytest.fixture
def encodes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, float]]:
    """Pixels and control of every encode, as they are made."""
    made: list[tuple[int, float]] = []
    for method in (pyramid_method.METHOD, raster_method.METHOD):
        kind = type(method)

        def counted(self: Any, pixels: Any, boxes: Any, control: float, *more: Any,
                    own: Any = kind.encode, **named: Any) -> Any:  # fmt: skip
            made.append((pixels.shape[0] * pixels.shape[1], control))
            return own(self, pixels, boxes, control, *more, **named)

        monkeypatch.setattr(kind, "encode", counted)
    return made


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Width and effort of every image and sample that is encoded, as they are begun."""
    made: list[tuple[int, int]] = []

    def counted(
        self: Any, control: float, *more: Any, own: Any = ImageEncoder.run, **named: Any
    ) -> Any:
        made.append((self.pixels.shape[1], self.options.effort))
        return own(self, control, *more, **named)

    monkeypatch.setattr(ImageEncoder, "run", counted)
    return made


def _drawing(height: int, width: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Boxes of few colours, whose tiles are smallest without loss."""
    rng = np.random.default_rng(3)
    image = np.full((height, width, 3), 240, np.uint8)
    for _ in range(40):
        y, x = rng.integers(0, height - 9), rng.integers(0, width - 9)
        image[y : y + 7 + x % 30, x : x + 5 + y % 50] = rng.integers(0, 5, 3) * 60
    return image


@pytest.mark.parametrize("effort", [1, 5])
@pytest.mark.parametrize("goal", [36.0, 46.0])
def test_a_photo_takes_few_encodes(
    encodes: list[tuple[int, float]], goal: float, effort: int
) -> None:
    """At the effort asked for, the whole image is coded once or twice."""
    image = photo_like(530, 560)
    data = rnnic.encode(image, target_psnr=goal, effort=effort)
    assert goal <= psnr(rnnic.decode(data), image) <= goal + 0.02
    whole = [control for size, control in encodes if size == image[:, :, 0].size]
    assert len(whole) <= 3
    assert len(encodes) <= 10


@pytest.mark.parametrize(
    "target", [{"target_psnr": 34.0}, {"target_psnr": 44.0}, {"target_bytes": 4000}]
)
def test_a_drawing_takes_few_encodes(
    encodes: list[tuple[int, float]], target: dict[str, Any]
) -> None:
    """Tiles without loss jump over the target: the search ends, and the smaller file is taken."""
    image = _drawing(300, 400)
    data = rnnic.encode(image, **target)
    assert sum(size for size, _ in encodes) <= 16 * image[:, :, 0].size
    if "target_psnr" in target:
        assert psnr(rnnic.decode(data), image) >= target["target_psnr"]
        assert len(data) <= len(rnnic.encode(image, exact_tiles=False, **target))
    else:
        assert len(data) <= target["target_bytes"]


@pytest.mark.parametrize("kind", ["grey", "grey and alpha", "rgb", "rgb and alpha"])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("method", ["pyramid", "raster"])
def test_every_kind_of_pixels_lands(
    encodes: list[tuple[int, float]], kind: str, bits: int, method: str
) -> None:
    channels = 1 if "grey" in kind else 3
    image = photo_like(150, 170).reshape(150, 170, 3)[:, :, :channels]
    if "alpha" in kind:
        ramp = np.linspace(60, 255, 170).astype(np.uint8)
        image = np.dstack([image, np.broadcast_to(ramp, image.shape[:2])])
    if bits == 16:
        image = image.astype(np.uint16) * 257
    data = rnnic.encode(image, target_psnr=40.0, method=method)
    found = psnr(rnnic.decode(data).reshape(image.shape), image)
    # The raster method's rounding makes the PSNR jump.
    assert 40.0 <= found <= 40.0 + (0.05 if method == "pyramid" else 1.0)
    assert len(encodes) <= 16
    smaller = len(rnnic.encode(image, target_bytes=int(0.8 * len(data)), method=method))
    assert smaller <= 0.8 * len(data)


def test_nothing_is_better_than_no_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    """A drawing that fits its bytes without loss is not searched again as if it could not."""
    searched: list[bool] = []

    def counted(goal: Any, encoder: Any, *more: Any, own: Any = encoding._search) -> Any:
        searched.append(encoder.options.exact_tiles)
        return own(goal, encoder, *more)

    monkeypatch.setattr(encoding, "_search", counted)
    image = _drawing(300, 400)
    np.testing.assert_array_equal(rnnic.decode(rnnic.encode(image, target_bytes=30_000)), image)
    assert searched == [True]


def test_samples_are_coded_at_the_least_effort(
    runs: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of the sample then tells what a trellis adds, once, with filters of the whole image."""
    fitted: list[int] = []

    def counted_fit(step: Any, *more: Any, own: Any = fit_pass) -> None:
        fitted.append(step.width)
        own(step, *more)

    monkeypatch.setattr(encoder, "fit_pass", counted_fit)
    rnnic.encode(photo_like(530, 560), target_psnr=35.0, effort=5)
    assert {effort for width, effort in runs if width == 4 * 56} == {1}
    assert sorted(effort for width, effort in runs if width == 2 * 56) == [2, 5]
    assert {width for width, _ in runs} == {2 * 56, 4 * 56, 560}
    assert 1 <= [effort for width, effort in runs if width == 560].count(5) <= 2
    assert {560, 280} & set(fitted)
    assert not {112} & set(fitted)


def test_a_sample_of_a_noisy_image_is_coded_with_the_trellis(
    encodes: list[tuple[int, float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The image itself is not coded without; its tables are those of the sample."""
    kinds: list[tuple[int, bool]] = []

    def told(self: Any, *given: Any, own: Any = encoder.TileEncoder.begin) -> None:
        kinds.append((self._size[0], self.fit.noisy))
        own(self, *given)

    monkeypatch.setattr(encoder.TileEncoder, "begin", told)
    rng = np.random.default_rng(5)
    noise = rng.normal(0, 4, (530, 560, 3))
    image = np.clip(np.rint(photo_like(530, 560) + noise), 0, 255).astype(np.uint8)
    for goal in (39.0, 41.0):
        encodes.clear()
        kinds.clear()
        data = rnnic.encode(image, target_psnr=goal, effort=5)
        assert goal <= psnr(rnnic.decode(data), image) <= goal + 0.02
        whole = [control for size, control in encodes if size == image[:, :, 0].size]
        assert len(whole) == len(kinds) <= 2
        assert set(kinds) == {(560, True)}


def test_a_sample_tells_of_grey_textures(runs: list[tuple[int, int]]) -> None:
    """A trellis makes them worse, more so than is foreseen: the image itself is not coded without."""
    noise = np.random.default_rng(7).normal(0, 120, (532, 562))
    smooth = sum(noise[y : y + 530, x : x + 560] for y in range(3) for x in range(3)) / 9
    image = np.clip(np.rint(128 + smooth), 0, 255).astype(np.uint8)
    for goal in (42.0, 45.0):
        runs.clear()
        data = rnnic.encode(image, target_psnr=goal, effort=5)
        assert goal <= psnr(rnnic.decode(data), image) <= goal + 0.02
        efforts = [effort for width, effort in runs if width == 560]
        assert set(efforts) == {5}
        assert len(efforts) <= 2


@pytest.mark.parametrize("goal", [39.0, 41.0, 47.0])
def test_lanes_are_coded_once_or_twice(monkeypatch: pytest.MonkeyPatch, goal: float) -> None:
    """What the finest pass will give is foreseen: its lanes land on a PSNR, and few are coded again."""
    coded: list[float] = []

    def counted(
        self: Any, weight: float, lane: int, *, own: Any = encoder.TileEncoder.again
    ) -> Any:
        if self._size[0] == 560:
            coded.append(weight)
        return own(self, weight, lane)

    monkeypatch.setattr(encoder.TileEncoder, "again", counted)
    image = photo_like(530, 560)
    found = psnr(rnnic.decode(rnnic.encode(image, target_psnr=goal)), image)
    assert goal <= found <= goal + 0.02
    assert 4 <= len(coded) <= 7
    assert max(coded) / min(coded) < 8


@pytest.mark.parametrize("drawn", [False, True])
def test_where_no_tile_is_without_loss_there_is_no_second_search(
    monkeypatch: pytest.MonkeyPatch, drawn: bool
) -> None:
    """It would repeat the first one, even where that ends beyond the tolerance."""
    searches = 0

    def counted(*given: Any, own: Any = encoding._search) -> Any:
        nonlocal searches
        searches += 1
        return replace(own(*given), reached=1.0)

    monkeypatch.setattr(encoding, "_search", counted)
    monkeypatch.setattr(encoding, "_HOPE", 0.0)
    image = _drawing(300, 400) if drawn else np.repeat(photo_like(200, 110), 2, axis=1)
    assert looks_drawn(image)
    rnnic.encode(image, target_psnr=40.0, effort=3)
    assert searches == (2 if drawn else 1)


def test_a_search_codes_a_drawing_without_loss_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not depend on the step is kept between the encodes of a search."""
    coded: list[float] = []

    def counted(colours: Any, most: float, pixels: Any = None, own: Any = encode_within) -> Any:
        if pixels is not None:
            coded.append(most)
        return own(colours, most, pixels)

    monkeypatch.setattr(choice, "encode_within", counted)
    rnnic.encode(_drawing(300, 400), target_psnr=44.0)
    assert len(coded) == 1


def test_filters_are_fitted_once_for_steps_that_are_near(monkeypatch: pytest.MonkeyPatch) -> None:
    model = PyramidModel.from_bytes(rnnic.default_model().sections[SECTION])
    image = photo_like(200, 220)
    memory, fitted = choice.TileMemory(image), []

    def counted(*given: Any, own: Any = fit_pass) -> None:
        fitted.append(given[0].level)
        own(*given)

    monkeypatch.setattr(encoder, "fit_pass", counted)
    for step, fits in ((6000, True), (6300, False), (9000, True)):
        fitted.clear()
        params = PyramidParams(step, 8, 4, 3)
        data, rebuilt = choice.BestTile(image, params, model, 5, memory=memory).encode()
        np.testing.assert_array_equal(decode_tile(data, 220, 200, params, model), rebuilt)
        assert bool(fitted) == fits


def test_alpha_is_coded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    coded: list[tuple[int, ...]] = []

    def counted(alpha: Any) -> bytes:
        coded.append(alpha.shape)
        return encode_alpha(alpha)

    monkeypatch.setattr(image_encoder, "encode_alpha", counted)
    image = photo_like(120, 90)
    ramp = np.broadcast_to(np.arange(90, dtype=np.uint8) + 100, image.shape[:2])
    image = np.dstack([image, ramp])
    for target in ({"target_psnr": 42.0}, {"target_bytes": 5000}):
        coded.clear()
        rnnic.encode(image, effort=5, **target)
        assert coded == [(120, 90)]
