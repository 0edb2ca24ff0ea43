import hashlib
import io
import json
import urllib.error
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from rnnic.bench import jpeg, kodak, kodak_sums, speed
from rnnic.cli import command_line
from rnnic.errors import MissingDependencyError, RnnicError


def run(*arguments: object) -> Result:
    return CliRunner().invoke(command_line, [str(a) for a in arguments])


def _photo(seed: int, shape: tuple[int, ...] = (16, 24, 3)) -> Image.Image:
    rng = np.random.default_rng(seed)
    walk = 128 + np.cumsum(rng.integers(-6, 7, shape), axis=1)
    return Image.fromarray(walk.clip(0, 255).astype(np.uint8))


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    for index, name in enumerate(list(kodak_sums.SUMS)[:2]):
        _photo(index).save(tmp_path / name)
    return tmp_path


def test_there_are_24_sums() -> None:
    assert list(kodak_sums.SUMS) == [f"kodim{number:02}.png" for number in range(1, 25)]
    assert all(len(bytes.fromhex(value)) == 32 for value in kodak_sums.SUMS.values())
    assert len(set(kodak_sums.SUMS.values())) == 24


# Download


class _Site:
    """Stands for the site with the images."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.asked: list[str] = []

    def __call__(self, request: Any, timeout: float) -> io.BytesIO:
        assert timeout > 0
        self.asked.append(request.full_url)
        name = request.full_url.removeprefix("https://r0k.us/graphics/kodak/kodak/")
        if name not in self.files:
            raise urllib.error.URLError("Name or service not known")
        return io.BytesIO(self.files[name])


@pytest.fixture(name="site")
def _site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> _Site:
    names = list(kodak_sums.SUMS)[:2]
    site = _Site({name: name.encode() for name in names})
    sums = {name: hashlib.sha256(data).hexdigest() for name, data in site.files.items()}
    monkeypatch.setattr(kodak, "SUMS", sums)
    monkeypatch.setattr("urllib.request.urlopen", site)
    monkeypatch.setenv("RNNIC_CACHE_DIR", str(tmp_path / "cache"))
    return site


def test_images_are_fetched_once(site: _Site, tmp_path: Path) -> None:
    told: list[float] = []
    folder = kodak.download(None, lambda done, _: told.append(done))
    assert folder == tmp_path / "cache" / "kodak"
    assert {path.name for path in folder.iterdir()} == set(site.files)
    assert told == [0, 0.5]
    kodak.download()
    assert len(site.asked) == 2
    (folder / "kodim02.png").write_bytes(b"damaged")
    kodak.download()
    assert site.asked[2:] == ["https://r0k.us/graphics/kodak/kodak/kodim02.png"]
    assert (folder / "kodim02.png").read_bytes() == b"kodim02.png"


def test_only_as_many_as_needed_are_fetched(site: _Site) -> None:
    kodak.download(1)
    assert len(site.asked) == 1


def test_another_file_is_refused(site: _Site, tmp_path: Path) -> None:
    site.files["kodim01.png"] = b"cut o"
    with pytest.raises(RnnicError, match=r"kodim01\.png: not the expected file.*--folder"):
        kodak.download()
    assert list((tmp_path / "cache" / "kodak").iterdir()) == []


def test_offline(site: _Site) -> None:
    site.files.clear()
    result = run("bench", "kodak")
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1
    assert "cannot be fetched" in result.stderr
    assert "--folder" in result.stderr


# The claims


def _row(jpeg_bytes: int, rnnic_bytes: int, rnnic_psnr: float = 45.1) -> kodak.Row:
    return kodak.Row("kodim01.png", jpeg_bytes, 45.0, rnnic_bytes, rnnic_psnr, 3.5, 1.0)


@pytest.mark.parametrize(
    ("rows", "each", "total", "holds"),
    [
        ([_row(100, 70), _row(300, 200)], True, True, True),
        ([_row(100, 101), _row(300, 100)], False, True, False),
        ([_row(100, 80), _row(300, 240)], True, False, False),
        ([_row(100, 70, 44.9)], True, True, False),
    ],
)
def test_verdicts(rows: list[kodak.Row], each: bool, total: bool, holds: bool) -> None:
    result = kodak.Result(rows)
    assert (result.each_smaller, result.total_smaller, result.claims_hold) == (each, total, holds)
    text = "\n".join(result.lines())
    assert ("DOES NOT HOLD" in text) == (not (each and total))
    assert json.loads(json.dumps(result.to_dict()))["claims_hold"] == holds


def test_kodak_from_a_folder(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("cv2")
    report = tmp_path / "report.json"
    result = run("bench", "kodak", "--folder", folder, "--limit", 2, "--json", report)
    found = json.loads(report.read_text())
    assert [row["image"] for row in found["images"]] == ["kodim01.png", "kodim02.png"]
    assert found["psnr_not_below_jpeg"]
    assert result.exit_code == (0 if found["claims_hold"] else 1), result.output
    assert "kodim02.png" in result.stdout
    again = run("bench", "kodak", "--folder", folder, "--limit", 1, "--json", report)
    assert again.exit_code == 1
    assert "--overwrite" in again.stderr


def test_missing_images_are_named(folder: Path) -> None:
    pytest.importorskip("cv2")
    result = run("bench", "kodak", "--folder", folder)
    assert result.exit_code == 1
    assert "kodim03.png is not there; 22 images are missing" in result.stderr


def test_a_claim_that_fails_is_an_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("cv2")
    monkeypatch.setattr(kodak, "compare", lambda *_: _row(100, 200))
    result = run("bench", "kodak", "--folder", folder, "--limit", 1)
    assert result.exit_code == 1
    assert "DOES NOT HOLD" in result.stdout
    assert result.stderr.endswith("rnnic: a published claim does not hold\n")


def test_opencv_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "cv2", None)
    with pytest.raises(MissingDependencyError, match=r"rnnic\[bench\]"):
        jpeg.require_opencv()
    result = run("bench", "kodak", "--folder", ".")
    assert result.exit_code == 1
    assert "rnnic[bench]" in result.stderr


def test_jpeg_of_grey_and_rgb() -> None:
    pytest.importorskip("cv2")
    flat = np.full((16, 16, 3), (200, 100, 50), np.uint8)
    assert jpeg.encode_jpeg(flat).psnr > 40  # colours in the right order
    assert jpeg.encode_jpeg(flat[:, :, 0].copy()).psnr == np.inf


def test_a_plain_image_is_compared_lossless(tmp_path: Path) -> None:
    pytest.importorskip("cv2")
    Image.new("L", (16, 16), 128).save(tmp_path / "plain.png")
    assert kodak.compare(tmp_path / "plain.png").rnnic_psnr == np.inf


# Speed


def test_speed(tmp_path: Path) -> None:
    pytest.importorskip("imagecodecs")
    _photo(3).save(tmp_path / "a.png")
    result = run("bench", "speed", tmp_path / "a.png", "--rounds", 1, "--psnr", 40, "--json")
    assert result.exit_code == 0, result.output
    (row,) = json.loads(result.stdout)
    assert row["psnr"] >= 40
    assert row["openjpeg_psnr"] >= row["psnr"]
    assert min(row["encode"], row["decode"], row["openjpeg_encode"]) > 0
    text = "\n".join(speed.table([speed.Speed(**row)]))
    assert "geometric mean" in text


def test_speed_without_imagecodecs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "imagecodecs", None)
    _photo(3).save(tmp_path / "a.png")
    with pytest.raises(MissingDependencyError, match=r"rnnic\[bench\]"):
        speed.measure_speed(str(tmp_path / "a.png"))


@pytest.mark.parametrize("shape", [(16, 24, 3), (16, 24)])
def test_growth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...]) -> None:
    pytest.importorskip("resource")
    monkeypatch.setattr(speed, "_GROWTH_PIXELS", (300, 1200))
    _photo(3, shape).save(tmp_path / "a.png")
    arguments = [tmp_path / "a.png", "--growth", "--psnr", 40, "--method", "raster", "--json"]
    result = run("bench", "speed", *arguments)
    assert result.exit_code == 0, result.output
    rows = [speed.Growth(**row) for row in json.loads(result.stdout)]
    assert [round(row.megapixels * 1e6) for row in rows] == [300, 1200]
    assert all(row.encode_peak_mb > 10 for row in rows)
    assert "largest over smallest" in speed.table(rows)[-1]
