import json
import re
from pathlib import Path
from typing import Any

import pytest
from checks import photo_like
from click.testing import CliRunner, Result
from PIL import Image

from rnnic.bench import report
from rnnic.bench.results import CURVE, Results
from rnnic.cli import command_line
from rnnic.errors import RnnicError

pytest.importorskip("imagecodecs")
pytest.importorskip("bjontegaard")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(command_line, ["bench", *map(str, arguments)])


@pytest.fixture(name="parts", scope="module")
def _parts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("report")
    (folder / "images").mkdir()
    Image.fromarray(photo_like(48, 64)).save(folder / "images" / "a<script>.png")
    Image.fromarray(photo_like(40, 40, channels=1)).save(folder / "images" / "b.png")
    chosen = [x for name in ("raster", "j2k", "webp", "jpeg-420") for x in ("--codec", name)]
    common = (folder / "images", *chosen, "--rounds", 1, "--no-memory")
    curve, matched = folder / "curve.json", folder / "matched.json"
    for command, output in (("curve", curve), ("matched", matched)):
        done = run(command, *common, "-o", output)
        assert done.exit_code == 0, done.output
    return curve, matched


def _data(page: str) -> dict[str, Any]:
    (text,) = re.findall(
        r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL
    )
    found: dict[str, Any] = json.loads(text)
    return found


def test_page_of_both(parts: tuple[Path, Path], tmp_path: Path) -> None:
    output = tmp_path / "report.html"
    done = run("report", *parts, "-o", output, "--crops", 1)
    assert done.exit_code == 0, done.output
    page = output.read_text()
    # Nothing is loaded: no address but those of names, and of what is in the page.
    assert set(re.findall(r"https?://[^\"' )]+", page)) <= {"http://www.w3.org/2000/svg"}
    assert not re.search(r"<(?:link|script|img)[^>]*(?:href|src)=[\"'](?!data:)", page)
    assert "a<script>" not in page
    data = _data(page)
    assert [codec["name"] for codec in data["codecs"]] == ["raster", "j2k", "webp", "jpeg-420"]
    assert len({codec["colour"] for codec in data["codecs"]}) == 4
    (goal,) = data["matched"]
    assert goal["base"] == "jpeg-420"
    ratios = {row["codec"]: row["ratio"] for row in goal["rows"]}
    assert ratios["jpeg-420"] == 1
    known = [row["ratio"] for row in goal["rows"] if row["ratio"] is not None]
    assert known == sorted(known)
    loaded = Results.load(parts[0])
    lines = data["curves"]["psnr-rgb"]
    assert set(lines) == {"mean", *loaded.images}
    assert len(lines["mean"]["j2k"]) == 8
    assert {row["codec"] for row in data["bd"]["rows"]} == {"raster", "j2k", "webp"}
    (crop,) = data["crops"]
    assert crop["name"] == "a<script>.png"
    assert crop["side"] == 48
    assert {"original", "raster", "j2k", "jpeg-420"} <= set(crop["items"])
    assert len(data["machines"]) == 1
    again = run("report", *parts, "-o", output)
    assert again.exit_code == 1
    assert "--overwrite" in again.stderr


def test_page_of_a_curve_alone_without_its_images(parts: tuple[Path, Path], tmp_path: Path) -> None:
    values = json.loads(parts[0].read_text())
    values["images"][0]["path"] = str(tmp_path / "gone.png")
    Image.fromarray(photo_like(40, 40, channels=1, seed=7)).save(tmp_path / "other.png")
    values["images"][1]["path"] = str(tmp_path / "other.png")
    data = _data(report.make_report([Results.from_dict(values)], "jpeg-420"))
    assert data["matched"] == []
    assert data["crops"] == []
    assert any("gone.png" in line for line in data["left_out"])
    assert any("holds another image now" in line for line in data["left_out"])
    assert {point["codec"] for point in data["pareto"]["points"]} >= {"j2k", "jpeg-420"}


def test_an_anchor_that_is_not_there_is_said(parts: tuple[Path, Path]) -> None:
    data = _data(report.make_report([Results.load(parts[0])], "jxl", crops=0))
    assert data["bd"] is None
    assert any("no anchor 'jxl'" in line for line in data["left_out"])


def test_nothing_to_report(parts: tuple[Path, Path]) -> None:
    with pytest.raises(RnnicError, match="no point"):
        report.make_report([Results(CURVE)], "jpeg-420")
    twice = [Results.load(parts[0])] * 2
    with pytest.raises(RnnicError, match="merge them first"):
        report.make_report(twice, "jpeg-420")
