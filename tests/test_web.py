"""The JavaScript decoder, in Node and in Chromium, and the page that ``rnnic view`` serves."""

import hashlib
import json
import re
import shutil
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checks import photo_like, pixels_of
from click.testing import CliRunner
from make_fixtures import FOLDER, VERSION, checksum

import rnnic
from rnnic.cli import command_line
from rnnic.viewer import ViewerServer

WEB = Path(__file__).parent.parent / "web"
FILES = sorted((FOLDER / VERSION).glob("*.rnnic"))
NODE = shutil.which("node")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
needs_node = pytest.mark.skipif(NODE is None, reason="Node is not installed")


def outcomes(files: list[Path], **options: Any) -> list[str]:
    """Return, for each file, the checksum of what the JavaScript decodes, or the class of its error."""
    assert NODE is not None
    command = [NODE, str(WEB / "test" / "outcomes.mjs"), json.dumps(options)]
    names = "".join(f"{file}\n" for file in files)
    result = subprocess.run(command, input=names, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    return result.stdout.split()


def expected(data: bytes, **options: Any) -> str:
    try:
        return f"{checksum(rnnic.decode(data, **options)):08x}"
    except rnnic.RnnicError as error:
        return type(error).__name__


@needs_node
@pytest.mark.parametrize(
    "options", [{}, {"reduce": 1}, {"reduce": 4}, {"region": [0, 0, 1, 1]}], ids=str
)
def test_fixtures_in_node(options: dict[str, Any]) -> None:
    found = outcomes(FILES, **options)
    wrong = [
        file.name
        for file, outcome in zip(FILES, found, strict=True)
        if outcome != expected(file.read_bytes(), **options)
    ]
    assert not wrong


@needs_node
def test_regions_of_tiled_images_in_node(tmp_path: Path) -> None:
    for number, (channels, dtype) in enumerate(((3, np.uint8), (4, np.uint16), (1, np.uint8))):
        image = pixels_of(70, 90, channels, dtype)
        for method in ("pyramid", "raster"):
            path = tmp_path / f"{number}-{method}.rnnic"
            path.write_bytes(rnnic.encode(image, method=method, tile_size=32))
    files = sorted(tmp_path.iterdir())
    for options in ({"region": [33, 7, 20, 40]}, {"region": [30, 31, 60, 39], "reduce": 2}):
        found = outcomes(files, **options)
        assert found == [expected(file.read_bytes(), **options) for file in files]


@needs_node
@pytest.mark.slow
def test_damaged_files_end_in_the_same_errors(tmp_path: Path) -> None:
    rng = np.random.default_rng(11)
    names = (
        "pyramid-rgb-50x23-4-5",
        "pyramid-4x16-50x23-4",
        "raster-rgb-50x23-4.5",
        "pyramid-drawn-9",
    )
    sources = [(FOLDER / VERSION / f"{name}.rnnic").read_bytes() for name in names]
    for number in range(400):
        data = bytearray(sources[number % len(sources)])
        if number % 5 == 0:
            del data[int(rng.integers(len(data))) :]
        else:
            data[int(rng.integers(len(data)))] = int(rng.integers(256))
            if number % 2:
                repair(data)
        (tmp_path / f"{number:03}.rnnic").write_bytes(data)
    files = sorted(tmp_path.iterdir())
    wanted = [expected(file.read_bytes()) for file in files]
    assert len({outcome for outcome in wanted if outcome.endswith("Error")}) >= 3
    assert outcomes(files) == wanted


def repair(data: bytearray) -> None:
    """Make the checksums of a file's chunks right again, as far as their lengths lead."""
    import struct
    import zlib

    at = 8
    while at + 12 <= len(data):
        (length,) = struct.unpack_from("<I", data, at + 4)
        end = at + 8 + length
        if end + 4 > len(data):
            return
        crc = zlib.crc32(data[at + 8 : end], zlib.crc32(data[at : at + 4]))
        struct.pack_into("<I", data, end, crc)
        at = end + 4


def test_the_bundle_is_what_its_sources_give() -> None:
    """The committed module names the digest of the modules it was made of (web/build.mjs)."""
    digest = hashlib.sha256()
    for path in sorted((WEB / "src").iterdir()):
        digest.update(path.name.encode() + path.read_bytes())
    bundle = (WEB / "rnnic.js").read_text()
    assert f"({digest.hexdigest()[:16]})" in bundle.partition("\n")[0]
    assert len(bundle.encode()) < 40_000


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ViewerServer]:
    photo = tmp_path / "a photo.rnnic"
    photo.write_bytes(rnnic.encode(photo_like(60, 90), tile_size=32))
    cut = tmp_path / "cut.rnnic"
    cut.write_bytes(photo.read_bytes()[:-40])
    with ViewerServer([photo, cut, tmp_path / "gone.rnnic"]) as made:
        thread = threading.Thread(target=made.serve_forever, daemon=True)
        thread.start()
        yield made
        made.shutdown()


def test_the_server_gives_the_page_and_the_files_alone(server: ViewerServer) -> None:
    def get(path: str, **headers: str) -> tuple[int, bytes]:
        request = urllib.request.Request(server.url.rstrip("/") + path, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    assert get("/")[1] == (WEB / "index.html").read_bytes()
    for name in re.findall(r'(?:src|href)="([\w.]+)"', (WEB / "index.html").read_text()):
        assert get(f"/{name}")[1] == (WEB / name).read_bytes()
    listed = json.loads(get("/files.json")[1])
    assert [entry["name"] for entry in listed] == ["a photo.rnnic", "cut.rnnic", "gone.rnnic"]
    assert rnnic.decode(get(listed[0]["url"])[1]).shape == (60, 90, 3)
    assert get(listed[2]["url"])[0] == 404
    for path in ("/../pyproject.toml", "/files/0/../../x", "/files/9/a", "/%2e%2e/setup.py"):
        assert get(path)[0] == 404
    assert get("/", Host="example.org:80")[0] == 403


def test_view_refuses_what_is_no_file_of_ours(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.rnnic"
    wrong.write_bytes(b"no image")
    result = CliRunner().invoke(command_line, ["view", str(wrong), "--no-browser"])
    assert result.exit_code == 1
    assert "wrong.rnnic" in result.stderr


@pytest.mark.slow
def test_the_page_in_chromium(server: ViewerServer, tmp_path: Path) -> None:
    """A file appears, can be saved pixel by pixel, and a damaged one is explained."""
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    from PIL import Image

    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(server.url)
        page.wait_for_selector('body[data-done="a photo"]')
        assert "90 x 60" in page.inner_text("#header")
        with page.expect_download() as download:
            page.click("#save")
        saved = tmp_path / "saved.png"
        download.value.save_as(saved)
        with Image.open(saved) as image:
            pixels = np.asarray(image.convert("RGB"))
        np.testing.assert_array_equal(pixels, rnnic.read(tmp_path / "a photo.rnnic"))
        page.set_input_files("#compare", saved)
        page.wait_for_selector("#split:visible")
        page.select_option("#samples", label="cut.rnnic")
        page.wait_for_selector("#error:visible")
        assert "cut off (TruncatedError)" in page.inner_text("#error")
        found = page.evaluate(_DECODE_ALL, [file.read_bytes().hex() for file in FILES])
        browser.close()
    assert not problems
    lines = (FOLDER / VERSION / "checksums.txt").read_text().split("\n")
    wanted = {name: crc for crc, name in (line.split() for line in lines if line)}
    assert dict(zip((file.name for file in FILES), found, strict=True)) == wanted


_DECODE_ALL = """async (files) => {
  const { Model, decode, crc32 } = await import("/rnnic.js");
  const model = await Model.load("/default.rnnm");
  return files.map((hex) => {
    const bytes = Uint8Array.from(hex.match(/../g), (byte) => parseInt(byte, 16));
    const { data } = decode(bytes, { model });
    return crc32(new Uint8Array(data.buffer)).toString(16).padStart(8, "0");
  });
}"""
