import sys

import numpy as np
import numpy.typing as npt
import pytest
from checks import photo_like
from hypothesis import given
from hypothesis import strategies as st

from rnnic.bench import codecs, hevc, matching, measures
from rnnic.bench.codecs import Codec, Control
from rnnic.errors import MissingDependencyError, OptionError, RnnicError
from rnnic.metrics import psnr

pytest.importorskip("imagecodecs")
pytest.importorskip("av")

Pixels = npt.NDArray[np.uint8]
NAMES = list(codecs.registry())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("channels", [1, 3])
def test_finer_settings_give_better_copies(name: str, channels: int) -> None:
    codec = codecs.codec_of(name)
    image = photo_like(40, 57, channels)
    reached = []
    for setting in (codec.ladder[0], codec.ladder[-1]):
        copy = codec.decode(codec.encode(image, setting), grey=image.ndim == 2)
        assert copy.shape == image.shape
        assert copy.dtype == np.uint8
        reached.append(psnr(image, copy))
    assert reached[0] + 3 < reached[1]
    assert reached[1] > 30


@pytest.mark.parametrize("name", NAMES)
def test_ladders_go_from_coarse_to_fine_within_the_control(name: str) -> None:
    codec = codecs.registry()[name]
    ends = (codec.control.coarsest, codec.control.finest)
    rising = ends[1] > ends[0]
    assert len(codec.ladder) == 8
    assert sorted(codec.ladder, reverse=not rising) == list(codec.ladder)
    assert all(min(ends) <= setting <= max(ends) for setting in codec.ladder)
    if codec.control.integer:
        assert all(float(setting).is_integer() for setting in codec.ladder)


@pytest.mark.parametrize("name", ["htj2k", "hevc", "j2k"])
def test_bright_pixels_do_not_wrap_around(name: str) -> None:
    image = np.zeros((48, 48, 3), np.uint8)
    image[:, 24:] = 255
    codec = codecs.codec_of(name)
    copy = codec.decode(codec.encode(image, codec.ladder[2]))
    assert np.abs(copy.astype(int) - image).max() < 128


@pytest.mark.parametrize("name", NAMES)
def test_one_pixel_is_coded_or_refused_by_name(name: str) -> None:
    codec = codecs.codec_of(name)
    image = np.full((1, 1, 3), 200, np.uint8)
    if name == "jxr":
        with pytest.raises(RnnicError, match="jxr cannot encode this image"):
            codec.encode(image, codec.ladder[0])
        return
    assert codec.decode(codec.encode(image, codec.ladder[-1])).shape == image.shape


def test_steps_of_hevc_are_monotone_in_luma() -> None:
    assert [hevc._steps(n) for n in range(95, 84, -1)][:6] == [
        (19, 0),
        (19, -1),
        (18, 3),
        (18, 2),
        (18, 1),
        (18, 0),
    ]


def test_unknown_and_missing_codecs(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OptionError, match="no codec 'gif'; there is pyramid-9"):
        codecs.codec_of("gif")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingDependencyError, match=r"codec hevc: PyAV.*rnnic\[bench\]"):
        codecs.available(["hevc"])
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    absent = codecs.missing()
    assert {"hevc", "j2k", "jxl", "avif-10"} <= set(absent)
    assert [codec.name for codec in codecs.available()] == [n for n in NAMES if n not in absent]


# Matching


class _Stairs(Codec):
    """Stands for a codec: the setting is the PSNR it gives, the size grows with it."""

    name = "stairs"
    label = description = "for tests"
    ladder = (20, 30, 40)

    def __init__(self, control: Control, dent: float = 0.0) -> None:
        self.control = control  # type: ignore[misc]  # of the class elsewhere
        self.dent = dent
        self.encoded: list[float] = []

    def version(self) -> str:
        return "1"

    def _encode(self, _pixels: Pixels, setting: float) -> bytes:
        self.encoded.append(setting)
        return round(setting * 1000).to_bytes(4, "big") + bytes(int(setting * 10))

    def _decode(self, data: bytes) -> Pixels:
        wanted = int.from_bytes(data[:4], "big") / 1000
        error = 255 * 10 ** (-wanted / 20)
        copy = np.full((64, 64), 100, np.uint8)
        # A share of the pixels is off by so much that the whole has the PSNR wanted.
        count = round(error**2 * copy.size / 400)
        copy.reshape(-1)[:count] += 20
        return copy


IMAGE = np.full((64, 64), 100, np.uint8)


@given(st.floats(23, 40))
def test_whole_numbers_are_searched_to_the_last(goal: float) -> None:
    codec = _Stairs(Control(15, 50, integer=True))
    match = matching.smallest_file(codec, IMAGE, goal)
    assert match.reached
    assert match.psnr >= goal
    below = codec.decode(codec.encode(IMAGE, match.setting - 1), grey=True)
    assert psnr(IMAGE, below) < goal


@given(st.floats(23, 34), st.booleans())
def test_real_numbers_are_met_closely(goal: float, logarithmic: bool) -> None:
    codec = _Stairs(Control(15, 50, logarithmic=logarithmic))
    match = matching.smallest_file(codec, IMAGE, goal)
    assert match.reached
    assert goal <= match.psnr < goal + 0.2  # a pixel more or less is that much here
    assert len(codec.encoded) <= 19


def test_goals_out_of_reach() -> None:
    codec = _Stairs(Control(15, 41))
    match = matching.smallest_file(codec, IMAGE, 60)
    assert not match.reached
    assert match.psnr == max(psnr(IMAGE, codec._decode(codec._encode(IMAGE, s))) for s in (40, 41))
    assert matching.smallest_file(codec, IMAGE, 5).setting == 15


def test_an_equal_copy_can_be_the_goal() -> None:
    image = photo_like(24, 24)
    match = matching.smallest_file(codecs.codec_of("jpegls"), image, np.inf)
    assert (match.reached, match.setting, match.psnr) == (True, 0, np.inf)
    assert not matching.smallest_file(codecs.codec_of("jpeg-420"), image, np.inf).reached


# Measures


def test_equal_images() -> None:
    image = photo_like(180, 190)
    found = measures.measure(image, image)
    assert (found.psnr, found.psnr_y, found.max_error) == (np.inf, np.inf, 0)
    assert found.ssim == pytest.approx(1)
    assert found.ms_ssim == pytest.approx(1)
    if measures.ssimulacra2_version() is not None:
        assert found.ssimulacra2 == pytest.approx(100, abs=0.01)


def test_ssim_is_its_definition() -> None:
    rng = np.random.default_rng(3)
    first, second = rng.uniform(0, 255, (2, 11, 11))
    place = np.arange(11) - 5
    window = np.exp(-(place[:, None] ** 2 + place**2) / (2 * 1.5**2))
    window /= window.sum()
    mean = [float((window * plane).sum()) for plane in (first, second)]
    variance = [
        float((window * plane**2).sum()) - m**2
        for plane, m in zip((first, second), mean, strict=True)
    ]
    covariance = float((window * first * second).sum()) - mean[0] * mean[1]
    c1, c2 = 2.55**2, 7.65**2
    expected = (2 * mean[0] * mean[1] + c1) * (2 * covariance + c2)
    expected /= (mean[0] ** 2 + mean[1] ** 2 + c1) * (variance[0] + variance[1] + c2)
    assert measures.ssim(first, second) == pytest.approx(expected, rel=1e-9)


def test_more_noise_is_less_alike() -> None:
    image = photo_like(180, 180)
    noise = np.random.default_rng(4).normal(0, 1, image.shape)
    found = [
        measures.measure(image, np.clip(image + noise * sigma, 0, 255).astype(np.uint8))
        for sigma in (2, 8, 32)
    ]
    for name in ("psnr", "psnr_y", "ssim", "ms_ssim"):
        values = [getattr(one, name) for one in found]
        assert values == sorted(values, reverse=True)
        assert len(set(values)) == 3


@pytest.mark.parametrize("side", [1, 7, 10, 11, 175])
def test_small_images_have_fewer_measures(side: int) -> None:
    image = photo_like(side, 200)
    found = measures.measure(image, 255 - image)
    assert (found.ssim is None) == (side < 11)
    assert found.ms_ssim is None
    assert (found.ssimulacra2 is None) == (side < 8 or measures.ssimulacra2_version() is None)


def test_without_the_library_of_ssimulacra2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ssimulacra2", None)
    image = photo_like(20, 20)
    assert measures.measure(image, image).ssimulacra2 is None
    assert measures.ssimulacra2_version() is None
