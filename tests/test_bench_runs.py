import csv
import json
import math
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checks import photo_like
from click.testing import CliRunner, Result
from PIL import Image

from rnnic.bench import bdrate, codecs, kodak, kodak_sums, memory, results, runner, tables
from rnnic.bench.results import CodecInfo, ImageInfo, Point, Results
from rnnic.cli import command_line
from rnnic.errors import OptionError, RnnicError

pytest.importorskip("imagecodecs")

FAST = ("--rounds", 1, "--no-memory")
TWO = ("--codec", "jpeg-420", "--codec", "jpeg-444")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(command_line, ["bench", *map(str, arguments)])


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    (folder / "deeper").mkdir(parents=True)
    Image.fromarray(photo_like(32, 40)).save(folder / "a.png")
    Image.fromarray(photo_like(24, 24, channels=1, seed=2)).save(folder / "deeper" / "b.png")
    (folder / "notes.txt").write_text("no image")
    return folder


def _values(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def test_curve(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("bjontegaard")
    output = tmp_path / "curve.json"
    done = run("curve", folder, "-o", output, *TWO, "--codec", "j2k", *FAST)
    assert done.exit_code == 0, done.output
    assert "BD-rate against jpeg-420" in done.stdout
    values = _values(output)
    assert [image["name"] for image in values["images"]] == ["a.png", "b.png"]
    assert [image["channels"] for image in values["images"]] == [3, 1]
    for codec in values["codecs"]:
        assert set(codec) >= {"name", "description", "results"}
        means = codec["results"]
        assert set(means) == set(results.MEASURES)
        assert {len(values) for values in means.values()} == {8}
        assert means["bpp"] == sorted(means["bpp"])
        assert all(seconds > 0 for seconds in means["encoding_time"])
        own = [p["psnr"] for p in codec["points"] if p["rung"] == codec["points"][0]["rung"]]
        assert pytest.approx(np.mean(own)) in means["psnr-rgb"]
    exported = run("export", output, "--csv", tmp_path / "all.csv", "--compressai", tmp_path / "ai")
    assert exported.exit_code == 0, exported.output
    rows = list(csv.DictReader((tmp_path / "all.csv").read_text().splitlines()))
    assert len(rows) == 3 * 2 * 8
    assert {row["name"] for row in rows} == {"a.png", "b.png"}
    one = _values(tmp_path / "ai" / "j2k.json")
    assert set(one) == {"name", "description", "results"}
    assert run("export", output).stdout == done.stdout


def test_matched(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "matched.json"
    goals = ("--goal", "jpeg-420@90", "--goal", 60)
    done = run("matched", folder, "-o", output, *TWO, "--codec", "webp", *goals, *FAST)
    assert done.exit_code == 0, done.output
    assert "at no less than the PSNR of jpeg-420 90" in done.stdout
    assert "webp         not on 2: at most" in done.stdout
    loaded = Results.load(output)
    for point in loaded.points.values():
        assert point.goal is not None
        if point.error is None:
            assert point.psnr is not None
            assert point.psnr >= point.goal
    for image in loaded.images:
        reference = loaded.points[image, "jpeg-420", "jpeg-420 90"]
        assert (reference.setting, reference.psnr) == (90, reference.goal)
    assert tables.goals(loaded) == ["jpeg-420 90", "60 dB"]


def test_a_run_is_gone_on_with(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "curve.json"
    arguments = ("curve", folder, "-o", output, *TWO, "--points", 3, *FAST)
    save = Results.save
    saved: list[int] = []

    def dies(self: Results, path: Path) -> None:
        save(self, path)
        saved.append(len(self.points))
        if len(saved) == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(Results, "save", dies)
    assert run(*arguments).exit_code == 130
    monkeypatch.setattr(Results, "save", save)
    part = Results.load(output)
    assert len(part.points) == saved[-1] == 2 * 4
    refused = run(*arguments)
    assert refused.exit_code == 1
    assert "--resume" in refused.stderr
    assert len(Results.load(output).points) == 8
    done = run(*arguments, "--resume")
    assert done.exit_code == 0, done.output
    whole = Results.load(output)
    assert len(whole.points) == 2 * 2 * 3
    assert all(whole.points[key] == point for key, point in part.points.items())
    before = output.read_text()
    assert run(*arguments, "--resume").exit_code == 0
    assert output.read_text() == before
    other = run("matched", folder, "-o", output, *TWO, "--resume", *FAST)
    assert other.exit_code == 1
    assert "holds results of bench curve" in other.stderr


def test_points_of_another_version_are_measured_again(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "curve.json"
    arguments = ("curve", folder, "-o", output, *TWO, "--points", 2, *FAST, "--resume")
    assert run(*arguments).exit_code == 0
    old = Results.load(output)
    monkeypatch.setattr(codecs.registry()["jpeg-444"].__class__, "version", lambda _: "newer")
    assert run(*arguments).exit_code == 0
    new = Results.load(output)
    assert new.points.keys() == old.points.keys()
    assert {p.version for p in new.points.values() if p.codec == "jpeg-444"} == {"newer"}
    assert new.of_codec("jpeg-420") == old.of_codec("jpeg-420")


def test_results_are_merged(folder: Path, tmp_path: Path) -> None:
    first, second, whole = (tmp_path / f"{name}.json" for name in ("first", "second", "whole"))
    short = ("--points", 2, *FAST)
    assert run("curve", folder / "a.png", "-o", first, *TWO, *short).exit_code == 0
    assert run("curve", folder / "deeper", "-o", second, "--codec", "j2k", *short).exit_code == 0
    done = run("merge", first, second, "-o", whole)
    assert done.exit_code == 0, done.output
    merged = Results.load(whole)
    assert list(merged.codecs) == ["jpeg-420", "jpeg-444", "j2k"]
    assert len(merged.images) == 2
    assert len(merged.points) == 2 * 2 + 2 * 2
    assert merged.means("jpeg-444")["bpp"] == []  # it lacks an image
    assert len(merged.means("jpeg-420")["bpp"]) == 2
    # What is missing is measured when the run goes on.
    again = run("curve", folder, "-o", whole, "--codec", "j2k", *TWO, *short, "--resume")
    assert again.exit_code == 0, again.output
    assert len(Results.load(whole).points) == 3 * 2 * 2
    assert run("merge", first, "-o", whole).exit_code == 1
    other = tmp_path / "matched.json"
    assert run("matched", folder, "-o", other, *TWO, *FAST).exit_code == 0
    refused = run("merge", first, other, "-o", tmp_path / "no.json")
    assert "a curve and a matched result cannot be merged" in refused.stderr
    assert not (tmp_path / "no.json").exists()


def test_a_broken_image_is_named_and_the_others_are_done(folder: Path, tmp_path: Path) -> None:
    (folder / "broken.png").write_bytes((folder / "a.png").read_bytes()[:200])
    Image.fromarray(np.full((8, 8, 4), 100, np.uint8)).save(folder / "clear.png")
    output = tmp_path / "curve.json"
    arguments = ("curve", folder, "-o", output, *TWO, "--points", 2, *FAST)
    done = run(*arguments)
    assert done.exit_code == 1
    assert "broken.png" in done.stderr
    assert "clear.png" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 2
    values = _values(output)
    assert len(values["images"]) == 2
    assert len(values["skipped"]) == 2
    shutil.copy(folder / "a.png", folder / "broken.png")  # mended
    (folder / "clear.png").unlink()
    assert run(*arguments, "--resume").exit_code == 0
    assert _values(output)["skipped"] == []


def test_no_usable_image(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    done = run("curve", empty, "-o", tmp_path / "x.json")
    assert done.exit_code == 1
    assert "no image file is there" in done.stderr
    assert "no such file" in run("matched", tmp_path / "none", "-o", tmp_path / "x.json").stderr
    (empty / "a.png").write_bytes(b"no")
    done = run("curve", empty, "-o", tmp_path / "x.json", *TWO, *FAST)
    assert done.exit_code == 1
    assert "none of the images could be used" in done.stderr
    assert "a.png" in done.stderr


def test_a_codec_that_refuses_an_image(tmp_path: Path) -> None:
    Image.fromarray(np.full((1, 1, 3), 9, np.uint8)).save(tmp_path / "dot.png")
    output = tmp_path / "x.json"
    done = run("curve", tmp_path, "-o", output, *TWO, "--codec", "jxr", "--points", 2, *FAST)
    assert done.exit_code == 1
    assert "dot.png: jxr cannot encode this image" in done.stderr
    loaded = Results.load(output)
    assert len(loaded.of_codec("jpeg-444")) == 2
    assert [point.setting for point in loaded.of_codec("jxr")] == [0.98]  # fine ones it takes


def test_missing_libraries_leave_codecs_out(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    monkeypatch.setitem(sys.modules, "bjontegaard", None)
    listed = run("codecs").stdout
    assert "missing: PyAV is not installed: pip install 'rnnic[bench]'" in listed
    assert "Pillow" in listed
    monkeypatch.setattr(
        codecs,
        "registry",
        lambda real=codecs.registry: {n: real()[n] for n in ("hevc", "jpeg-420")},
    )
    done = run("curve", folder, "-o", tmp_path / "x.json", "--points", 2, *FAST)
    assert done.exit_code == 0, done.output
    assert "rnnic: without hevc" in done.stderr
    assert "no BD-rates: bjontegaard" in done.stderr
    assert list(Results.load(tmp_path / "x.json").codecs) == ["jpeg-420"]
    named = run("curve", folder, "-o", tmp_path / "y.json", "--codec", "hevc", *FAST)
    assert named.exit_code == 1
    assert "codec hevc" in named.stderr


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("fine", "no goal"),
        ("jpeg-420@nan", "no goal"),
        ("gif@3", "no codec 'gif'"),
        ("jpeg-420@101", "the settings of jpeg-420 are 0 … 100"),
    ],
)
def test_goals_without_a_meaning(text: str, reason: str) -> None:
    with pytest.raises(OptionError, match=reason):
        runner.parse_goal(text)


def test_wrong_use(folder: Path, tmp_path: Path) -> None:
    assert run("curve", folder, "-o", tmp_path / "x.json", "--rounds", 0).exit_code == 2
    assert run("curve", folder, "-o", "-", *TWO).exit_code == 2
    assert run("curve", folder, "--anchor", "gif").exit_code == 2


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"format": "other", "mode": "curve"}', "null"])
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(RnnicError, match=r"x\.json: not"):
        Results.load(tmp_path / "x.json")


# BD-rate, times, memory


def _made_up(rates: dict[str, float], points: int = 6) -> Results:
    found = Results(results.CURVE)
    found.images["i"] = ImageInfo("i.png", "i.png", "i", 10, 10, 3)
    for name, factor in rates.items():
        found.codecs[name] = CodecInfo(name, name, "", "1", own=False)
        for k in range(points):
            found.add(
                Point(
                    image="i",
                    codec=name,
                    rung=str(k),
                    version="1",
                    machine="",
                    bpp=factor * 2.0**k / 4,
                    bytes=round(100 * factor * 2**k),
                    psnr=30.0 + 4 * k,
                    ms_ssim=1 - 10 ** -(1 + k / 3),
                    encode_seconds=0.5,
                    decode_seconds=0.25,
                )
            )
    return found


def test_bd_rate_of_scaled_curves() -> None:
    pytest.importorskip("bjontegaard")
    rates = bdrate.bd_rates(_made_up({"a": 1.0, "b": 0.8, "c": 1.5}), "a")
    found = {(rate.codec, rate.measure): rate for rate in rates}
    for measure in ("psnr-rgb", "ms-ssim"):
        assert found["b", measure].mean == pytest.approx(-20, abs=0.01)
        assert found["c", measure].images == {"i": pytest.approx(50, abs=0.01)}
        assert found["c", measure].overlap == pytest.approx(1)
    assert found["b", "psnr-y"].mean is None
    with pytest.raises(OptionError, match="no anchor 'z'"):
        bdrate.bd_rates(_made_up({"a": 1}), "z")
    assert bdrate.bd_rates(_made_up({"a": 1, "b": 2}, points=3), "a")[0].mean is None


def test_infinite_values_survive_the_file(tmp_path: Path) -> None:
    made = _made_up({"a": 1.0}, points=1)
    (point,) = made.points.values()
    made.add(Point(**(point.__dict__ | {"psnr": math.inf})))
    made.save(tmp_path / "x.json")
    assert "Infinity," not in (tmp_path / "x.json").read_text().replace('"Infinity"', "")
    loaded = Results.load(tmp_path / "x.json")
    assert loaded == made
    assert loaded.means("a")["psnr-rgb"] == [None]


def _tell_turns(
    monkeypatch: pytest.MonkeyPatch, kind: type[codecs.Codec], turns: list[str]
) -> None:
    real = kind.encode

    def encode(self: codecs.Codec, *arguments: Any) -> bytes:
        turns.append(self.name)
        return real(self, *arguments)

    monkeypatch.setattr(kind, "encode", encode)


def test_codecs_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    turns: list[str] = []
    chosen = codecs.available(["jpeg-420", "jpeg-444"])
    for codec in chosen:
        _tell_turns(monkeypatch, type(codec), turns)
    found = Results(results.CURVE)
    settings = runner.Settings(rounds=3, memory=False)
    own = runner.Run(runner.Curve(2), chosen, settings, found)
    image = ImageInfo("i", "i", "i", 16, 16, 3)
    tasks = [t for c in chosen for t in own._first(c, image, photo_like(16, 16), 0, None)]
    turns.clear()
    own._time(tasks, photo_like(16, 16))
    assert turns == ["jpeg-420", "jpeg-444"] * 2  # the first time was that of making the files
    assert [len(task.encode_seconds) for task in tasks] == [3, 3]


def test_peak_memory() -> None:
    image = photo_like(512, 512)
    codec = codecs.codec_of("jpeg-444")
    peaks = memory.peak_memory(codec.name, image, 90, codec.encode(image, 90))
    if not Path("/proc/self/clear_refs").exists():
        assert peaks is None
        return
    assert peaks is not None
    assert 0 < peaks.decode_mb < 100
    assert memory.peak_memory("gif", image, 90, b"") is None


# Kodak


def test_kodak_with_peers(tmp_path: Path) -> None:
    pytest.importorskip("cv2")
    names = list(kodak_sums.SUMS)[:2]
    for index, name in enumerate(names):
        Image.fromarray(photo_like(40, 48, seed=index)).save(tmp_path / name)
    report = tmp_path / "report.json"
    arguments = ("kodak", "--folder", tmp_path, "--limit", 2)
    done = run(*arguments, "--peer", "j2k", "--peer", "webp", "--json", report)
    assert "other codecs at no less than the PSNR of JPEG" in done.stdout
    assert "out of reach on 2" in done.stdout
    values = _values(report)
    goals = {row["image"]: row["jpeg_psnr"] for row in values["images"]}
    assert [(row["image"], row["codec"]) for row in values["peers"]] == [
        (name, codec) for name in names for codec in ("j2k", "webp")
    ]
    for row in values["peers"]:
        assert (row["bytes"] is None) == (row["psnr"] < goals[row["image"]])
    without = run(*arguments, "--no-peers")
    assert "other codecs" not in without.stdout
    assert without.exit_code == done.exit_code
    assert {codec.name for codec in kodak.peers()} == {
        codec.name for codec in codecs.available() if not codec.own
    }
