import errno
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from click.testing import CliRunner, Result
from PIL import Image

import rnnic
from rnnic.cli import command_line
from rnnic.files import load_image
from rnnic.metrics import max_error

Pixels = npt.NDArray[np.uint8]

COMPILED = os.environ.get("NUMBA_DISABLE_JIT", "0") == "0"


def run(*arguments: object, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(command_line, [str(a) for a in arguments], input=stdin)


def fails(result: Result, code: int, *words: str) -> None:
    """Check that the command failed with one line, no traceback, and these words."""
    assert result.exit_code == code, result.output
    assert isinstance(result.exception, SystemExit)
    lines = [line for line in result.stderr.splitlines() if "compiling kernels" not in line]
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("rnnic: ")
    for word in words:
        assert word in lines[0]


@pytest.fixture(name="pixels", scope="module")
def _pixels() -> Pixels:
    rng = np.random.default_rng(5)
    ramp = np.add.outer(3 * np.arange(12), 2 * np.arange(20))[:, :, None] + [60, 90, 120]
    return (ramp + rng.integers(0, 8, ramp.shape)).astype(np.uint8)


@pytest.fixture(name="image")
def _image(tmp_path: Path, pixels: Pixels) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture(name="data", scope="module")
def _data(pixels: Pixels) -> bytes:
    return rnnic.encode(pixels, error_threshold=6)


@pytest.fixture(name="file")
def _file(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "photo.rnnic"
    path.write_bytes(data)
    return path


# compress and decompress


def test_round_trip_with_the_published_arguments(
    tmp_path: Path, image: Path, pixels: Pixels
) -> None:
    out, back = tmp_path / "out.rnnic", tmp_path / "back.png"
    result = run("compress", image, out, "5")
    assert result.exit_code == 0, result.output
    assert str(out.stat().st_size) in result.stdout
    assert "bits per pixel" in result.stdout
    assert run("decompress", out, back).exit_code == 0
    decoded = load_image(back).pixels
    assert max_error(decoded, pixels) <= 5
    assert rnnic.info(out).parameters["error_threshold"] == 5
    np.testing.assert_array_equal(decoded, rnnic.decode(out.read_bytes()))


def test_lossless(tmp_path: Path, image: Path, pixels: Pixels) -> None:
    out, back = tmp_path / "o.rnnic", tmp_path / "b.bmp"
    result = run("compress", image, out, "--error-threshold", "0")
    assert "lossless" in result.stdout
    assert run("decompress", out, back).exit_code == 0
    np.testing.assert_array_equal(load_image(back).pixels, pixels)


def test_grey(tmp_path: Path, pixels: Pixels) -> None:
    image = tmp_path / "grey.pgm"
    Image.fromarray(pixels[:, :, 0].copy()).save(image)
    assert run("compress", image, tmp_path / "o", "0").exit_code == 0
    assert run("decompress", tmp_path / "o", tmp_path / "b.pgm").exit_code == 0
    np.testing.assert_array_equal(load_image(tmp_path / "b.pgm").pixels, pixels[:, :, 0])


def test_json_summary(tmp_path: Path, image: Path, pixels: Pixels) -> None:
    out = tmp_path / "o"
    report = json.loads(run("compress", image, out, "8", "--json").stdout)
    assert report["bytes"] == out.stat().st_size
    assert report["raw_bytes"] == pixels.size
    assert (report["width"], report["height"]) == (20, 12)
    assert report["max_error"] <= report["parameters"]["error_threshold"] == 8
    lossless = json.loads(
        run("compress", image, out, "0", "--overwrite", "--json").stdout, parse_constant=pytest.fail
    )
    assert lossless["lossless"]
    assert lossless["psnr"] is None


def test_quiet(tmp_path: Path, image: Path) -> None:
    assert run("compress", image, tmp_path / "o", "9", "--quiet").output == ""


def test_targets(tmp_path: Path, image: Path) -> None:
    result = run("compress", image, tmp_path / "a", "--psnr", "38", "--json")
    assert json.loads(result.stdout)["psnr"] >= 38
    result = run("compress", image, tmp_path / "b", "--size", "0.4k", "--json")
    assert json.loads(result.stdout)["bytes"] <= 400
    fails(run("compress", image, tmp_path / "c", "--size", "10"), 2, str(image), "10 bytes")
    assert not (tmp_path / "c").exists()


def test_options_reach_the_encoder(tmp_path: Path, image: Path) -> None:
    arguments = ["--tile-size", 16, "--threads", 1, "--method", "raster", "--neighbors", "exact"]
    result = run("compress", image, tmp_path / "o", "9", *arguments)
    assert result.exit_code == 0, result.output
    assert rnnic.info(tmp_path / "o").tiles == 2


def test_standard_input_and_output(image: Path, pixels: Pixels) -> None:
    packed = run("compress", "-", "-", "0", stdin=image.read_bytes())
    assert packed.exit_code == 0
    assert "lossless" in packed.stderr
    np.testing.assert_array_equal(rnnic.decode(packed.stdout_bytes), pixels)
    described = run("info", "-", "--json", stdin=packed.stdout_bytes)
    assert json.loads(described.stdout)["width"] == 20
    unpacked = run("decompress", "-", "-", stdin=packed.stdout_bytes)
    np.testing.assert_array_equal(load_image(io.BytesIO(unpacked.stdout_bytes)).pixels, pixels)


def test_region(tmp_path: Path, file: Path, data: bytes) -> None:
    back = tmp_path / "b.png"
    assert run("decompress", file, back, "--region", "3,2,10,5").exit_code == 0
    np.testing.assert_array_equal(load_image(back).pixels, rnnic.decode(data)[2:7, 3:13])
    back = tmp_path / "c.png"
    fails(run("decompress", file, back, "--region", "15,2,10,5"), 2, str(file), "region")
    assert run("decompress", file, back, "--region", "1,2,3").exit_code == 2
    assert not back.exists()


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_metadata_survives_both_ways(tmp_path: Path, pixels: Pixels, suffix: str) -> None:
    image, out = tmp_path / f"a{suffix}", tmp_path / "o.rnnic"
    exif = Image.Exif()
    exif[0x0112] = 8
    options: dict[str, Any] = {"exif": exif, "icc_profile": b"profile", "dpi": (240, 240)}
    if suffix == ".jpg":
        options["xmp"] = b"<x:xmpmeta/>"
    Image.fromarray(pixels).save(image, **options)
    before = load_image(image).metadata
    assert run("compress", image, out, "9").exit_code == 0
    assert rnnic.info(out).metadata == before
    back = tmp_path / f"b{suffix}"
    assert run("decompress", out, back).exit_code == 0
    assert load_image(back).metadata == before
    with Image.open(back) as opened:
        assert opened.getexif()[0x0112] == 8
        assert round(opened.info["dpi"][0]) == 240
    chosen = run("compress", image, out, "9", "--overwrite", "--metadata", "icc,text")
    assert chosen.exit_code == 0
    assert set(rnnic.info(out).metadata.sizes()) == {"icc", "text"}
    assert run("compress", image, out, "9", "--overwrite", "--metadata", "none").exit_code == 0
    assert rnnic.info(out).metadata.sizes() == {}
    fails(run("compress", image, out, "--overwrite", "--metadata", "gps"), 2, "'gps'", "icc")


# What is wrong is said in one line


def test_existing_output_is_refused(tmp_path: Path, image: Path, file: Path, data: bytes) -> None:
    fails(run("compress", image, file), 1, str(file), "--overwrite")
    assert file.read_bytes() == data
    assert run("compress", image, file, "9", "--overwrite").exit_code == 0
    assert file.read_bytes() != data
    fails(run("decompress", file, image), 1, str(image), "--overwrite")
    assert run("decompress", file, image, "--overwrite").exit_code == 0
    assert {p.name for p in tmp_path.iterdir()} == {"photo.png", "photo.rnnic"}


def test_bad_outputs(tmp_path: Path, image: Path, file: Path) -> None:
    fails(run("compress", image, tmp_path), 1, str(tmp_path), "folder")
    fails(run("compress", image, tmp_path / "no" / "o"), 1, "there is no folder")
    fails(run("decompress", file, tmp_path / "b.xyz"), 2, "b.xyz", ".png")
    fails(run("decompress", file, tmp_path / "no" / "b.png"), 1, "there is no folder")


def test_bad_images(tmp_path: Path) -> None:
    out = tmp_path / "o"
    fails(run("compress", tmp_path / "missing.png", out), 1, "missing.png: No such file")
    empty = tmp_path / "empty.png"
    empty.touch()
    fails(run("compress", empty, out), 1, "empty.png", "not an image")
    cmyk = tmp_path / "cmyk.jpg"
    Image.new("CMYK", (8, 8)).save(cmyk)
    fails(run("compress", cmyk, out), 1, "cmyk.jpg", "CMYK", "convert it to RGB")
    fails(run("compress", tmp_path, out), 1, str(tmp_path))
    assert not out.exists()


def test_alpha_and_16_bits_through_files(tmp_path: Path) -> None:
    from rnnic.files import load_image, save_image

    deep = np.random.default_rng(0).integers(0, 65536, (20, 30, 4), np.uint16)
    deep[:5, :, 3] = 0
    source, packed, out = tmp_path / "a.png", tmp_path / "a.rnnic", tmp_path / "b.png"
    save_image(source, deep)
    assert run("compress", source, packed, "0", "--keep-hidden").exit_code == 0
    found = json.loads(run("info", packed, "--json").output)
    assert (found["channels"], found["alpha"], found["bit_depth"]) == (4, True, 16)
    fails(run("decompress", packed, tmp_path / "b.jpg"), 2, "JPEG keeps no alpha")
    assert run("decompress", packed, out).exit_code == 0
    np.testing.assert_array_equal(load_image(out).pixels, deep)
    assert run("compress", source, packed, "--alpha-quality=0", "--overwrite").exit_code == 0
    alpha = rnnic.read(packed)[:, :, 3]
    assert len(np.unique(alpha)) == 2


@pytest.mark.parametrize("value", ["nan", "-1", "inf", "443"])
def test_bad_thresholds(tmp_path: Path, image: Path, value: str) -> None:
    result = run("compress", image, tmp_path / "o", f"--error-threshold={value}")
    fails(result, 2, "error_threshold", "442")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--quality", "nan"),
        ("--quality", "101"),
        ("--psnr", "-3"),
        ("--quality", "9", "--psnr", "40"),
        ("3", "--quality", "9"),
        ("--threads", "0"),
        ("--tile-size", "5"),
        ("--method", "no-such"),
        ("--size", "0"),
    ],
)
def test_bad_options(tmp_path: Path, image: Path, arguments: tuple[str, ...]) -> None:
    fails(run("compress", image, tmp_path / "o", *arguments), 2)
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("no-such-command",),
        ("compress",),
        ("compress", "a", "b", "many"),
        ("compress", "a", "b", "1", "--error-threshold", "2"),
        ("compress", "a", "b", "--size", "lots"),
        ("decompress", "a"),
        ("palette", "train", "a"),
    ],
)
def test_wrong_use(arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert "Traceback" not in result.output


def test_bad_files(tmp_path: Path, file: Path, data: bytes) -> None:
    out = tmp_path / "b.png"
    bad = tmp_path / "bad.rnnic"
    fails(run("decompress", tmp_path / "missing", out), 1, "missing: No such file")
    contents = {
        b"": "",
        b"GIF89a": "not an RNNIC file",
        data[:-20]: "",
        data[:40]: "",
        data[:60] + bytes([data[60] ^ 1]) + data[61:]: "",
    }
    for content, words in contents.items():
        bad.write_bytes(content)
        for command in (("decompress", bad, out), ("info", bad)):
            fails(run(*command), 1, str(bad), words)
    fails(run("decompress", file, out, "--max-pixels", "100"), 1, str(file), "--max-pixels")
    assert not out.exists()


def test_missing_model(tmp_path: Path, file: Path) -> None:
    fails(run("decompress", file, tmp_path / "b.png", "--model", tmp_path / "none"), 1, "none")
    bad = tmp_path / "bad.rnnm"
    bad.write_bytes(b"no model")
    fails(run("decompress", file, tmp_path / "b.png", "--model", bad), 1, str(bad))


def _failing_write(monkeypatch: pytest.MonkeyPatch, failure: BaseException) -> None:
    def fail(_: int) -> None:
        raise failure

    monkeypatch.setattr(os, "fsync", fail)


def test_full_disk(
    tmp_path: Path, image: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _failing_write(monkeypatch, OSError(errno.ENOSPC, "No space left on device"))
    fails(run("compress", image, tmp_path / "o", "9"), 1, f"{tmp_path / 'o'}: No space left")
    fails(run("decompress", file, tmp_path / "b.png"), 1, "b.png: No space left")
    assert {p.name for p in tmp_path.iterdir()} == {"photo.png", "photo.rnnic"}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_full_device(image: Path) -> None:
    fails(run("compress", image, "/dev/full", "9"), 1, "/dev/full: No space left")


def test_interrupt(tmp_path: Path, image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _failing_write(monkeypatch, KeyboardInterrupt())
    fails(run("compress", image, tmp_path / "o", "9"), 130, "interrupted")
    assert [p.name for p in tmp_path.iterdir()] == ["photo.png"]


def test_too_little_memory(tmp_path: Path, image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr("rnnic.api.encode_image", fail)
    fails(run("compress", image, tmp_path / "o"), 1, str(image), "not enough memory")


@pytest.mark.skipif(sys.platform == "win32", reason="signals are Unix's")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_leave_nothing_behind(tmp_path: Path, image: Path, number: int, code: int) -> None:
    script = (
        "import signal, sys, time, rnnic.output, rnnic.cli, os;"
        # Where the tests run in the background of a shell, the interrupt is ignored from birth.
        "signal.signal(signal.SIGINT, signal.default_int_handler);"
        "os.fsync = lambda _: (print('ready', flush=True), time.sleep(60));"
        "sys.argv = ['rnnic', *sys.argv[1:]];"
        "rnnic.cli.main()"
    )
    command = [sys.executable, "-c", script, "compress", str(image), str(tmp_path / "o"), "9"]
    with subprocess.Popen(
        [*command, "--quiet"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == code
    assert "Traceback" not in errors
    assert [p.name for p in tmp_path.iterdir()] == ["photo.png"]


# info, start, module


def test_info(file: Path, data: bytes) -> None:
    found = json.loads(run("info", file, "--json").stdout)
    assert found == {"file": str(file)} | rnnic.info(data).to_dict()
    text = run("info", file).stdout
    assert "error_threshold 6.0" in text
    assert "metadata        none" in text


def test_version_and_help() -> None:
    assert rnnic.__version__ in run("--version").stdout
    for command in ("", "compress", "decompress", "info", "demo", "bench", "palette"):
        result = run(*command.split(), "--help")
        assert result.exit_code == 0
        assert "Usage: " in result.stdout


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys\n"
        "from rnnic.cli import command_line\n"
        "command_line(['compress', '--help'], standalone_mode=False)\n"
        "heavy = {'numpy', 'numba', 'PIL', 'scipy', 'cv2'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_module_runs(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "rnnic", "info", str(tmp_path / "missing")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == f"rnnic: {tmp_path / 'missing'}: No such file or directory\n"


@pytest.mark.skipif(not COMPILED, reason="nothing is compiled")
def test_compiling_is_announced_once(tmp_path: Path, image: Path) -> None:
    environment = os.environ | {"RNNIC_CACHE_DIR": str(tmp_path / "cache")}
    errors = []
    for name in ("first", "second"):
        command = [sys.executable, "-m", "rnnic", "compress", str(image), str(tmp_path / name), "9"]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        errors.append(done.stderr)
    assert errors[0].count("compiling kernels for this machine") == 1
    assert errors[1] == ""


# demo and palette


def test_demo(tmp_path: Path, image: Path, pixels: Pixels) -> None:
    folder = tmp_path / "demo"
    for _ in range(2):  # a demo may be run again
        result = run("demo", image, "6", "--folder", folder)
        assert result.exit_code == 0, result.output
        assert "equal in every pixel" in result.stdout
    assert rnnic.info(folder / "photo.rnnic").parameters["error_threshold"] == 6
    assert max_error(load_image(folder / "photo.decoded.png").pixels, pixels) <= 6
    with Image.open(folder / "photo.coded.png") as picture:
        assert picture.width > 1000


def test_demo_of_one_grey_pixel(tmp_path: Path) -> None:
    image = tmp_path / "dot.png"
    Image.new("L", (1, 1), 77).save(image)
    result = run("demo", image, "0", "--folder", tmp_path, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["equal"]


def test_demo_notices_a_difference(
    tmp_path: Path, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import rnnic.demo

    def wrong(data: bytes, **options: Any) -> Pixels:
        return rnnic.decode(data, **options) ^ np.uint8(1)

    monkeypatch.setattr(rnnic.demo, "decode", wrong)
    result = run("demo", image, "6", "--folder", tmp_path / "d")
    assert "NOT EQUAL" in result.stdout
    fails(result, 1, str(image), "differ")


def test_palette_show(tmp_path: Path) -> None:
    text = run("palette", "show").stdout
    assert "default model" in text
    assert "strings of 4" in text
    found = json.loads(run("palette", "show", "--json").stdout)
    assert found["sections"]["RAST"]["id"] == rnnic.default_model().section_id("RAST").hex()
    for grey in ((), ("--grey",)):
        png = tmp_path / f"p{len(grey)}.png"
        assert run("palette", "show", "--png", png, *grey).exit_code == 0
        assert load_image(png).pixels.shape[1] > 1000
    fails(run("palette", "show", tmp_path / "no.rnnm"), 1, "no.rnnm")


@pytest.fixture(name="photos")
def _photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos" / "deeper"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(8)
    for index in range(3):
        step = 5 * 6**index  # from smooth to wild, so that all palettes find entries
        walk = np.cumsum(rng.integers(-step, step + 1, (24, 24, 3)), axis=index % 2)
        Image.fromarray((128 + walk).clip(0, 255).astype(np.uint8)).save(folder / f"{index}.png")
    return tmp_path / "photos"


def test_palette_train(tmp_path: Path, photos: Path, image: Path, pixels: Pixels) -> None:
    (photos / "broken.jpg").write_bytes(b"no photo")
    (photos / "notes.txt").write_text("no photo either")
    small = ("--draws", 60000, "--windows", 3, "--window", 16)
    models = []
    for index, seed in enumerate((4, 4, 5)):
        out = tmp_path / f"{index}.rnnm"
        command = ("palette", "train", photos, "-o", out, "--seed", seed, *small)
        result = run(*command, "--jobs", index + 1)
        assert result.exit_code == 0, result.output
        assert "broken.jpg" in result.stderr
        assert "3 photos" in result.stdout
        models.append(out)
    kept = ("--checkpoints", tmp_path / "kept")
    for name in ("first.rnnm", "again.rnnm"):
        arguments = ("palette", "train", photos, "-o", tmp_path / name, "--seed", 4, *small, *kept)
        assert run(*arguments).exit_code == 0
        assert (tmp_path / name).read_bytes() == models[0].read_bytes()
    contents = [path.read_bytes() for path in models]
    assert contents[0] == contents[1] != contents[2]
    assert json.loads(run("palette", "show", models[0], "--json").stdout)["info"]["photos"] == 3

    out = tmp_path / "o.rnnic"
    assert run("compress", image, out, "0", "--model", models[0]).exit_code == 0
    missing = run("decompress", out, tmp_path / "b.png")
    fails(missing, 1, str(out), rnnic.info(out).model_id, "--model")
    back = run("decompress", out, tmp_path / "b.png", "--model", models[0])
    assert back.exit_code == 0, back.output
    np.testing.assert_array_equal(load_image(tmp_path / "b.png").pixels, pixels)


def test_palette_train_failures(tmp_path: Path, photos: Path) -> None:
    out = tmp_path / "o.rnnm"
    fails(run("palette", "train", tmp_path / "no", "-o", out), 1, "not a folder")
    empty = tmp_path / "empty"
    empty.mkdir()
    fails(run("palette", "train", empty, "-o", out), 1, str(empty), "no photo")
    fails(run("palette", "train", photos, "-o", out, "--spread", "jam"), 2, "jam")
    out.touch()
    fails(run("palette", "train", photos, "-o", out), 1, "--overwrite")
