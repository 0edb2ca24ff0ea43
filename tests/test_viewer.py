"""The page that ``rnnic view`` serves: its server, and the page in Chromium."""

import json
import re
import shutil
import signal
import subprocess
import sys
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
from crafting import chunks_of, file_of
from make_fixtures import FOLDER, VERSION, checksum
from make_samples import FOLDER as SAMPLE_FOLDER
from make_samples import SAMPLES
from PIL import Image

import rnnic
from rnnic.cli import command_line
from rnnic.viewer import ViewerServer

WEB = Path(__file__).parent.parent / "web"
FILES = sorted((FOLDER / VERSION).glob("*.rnnic"))
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture
def server(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[ViewerServer]:
    """Serve some files, or those that a test gives as the parameter."""
    photo = tmp_path / "a photo.rnnic"
    photo.write_bytes(rnnic.encode(photo_like(60, 90), tile_size=32))
    rnnic.write(tmp_path / "deep.rnnic", pixels_of(33, 40, 1, np.uint16), quality=80)
    rnnic.write(tmp_path / "clear.rnnic", pixels_of(33, 40, 4), quality=80)
    Image.fromarray(rnnic.read(photo)).save(tmp_path / "a photo.png")
    cut = tmp_path / "cut.rnnic"
    cut.write_bytes(photo.read_bytes()[:-40])
    names = ("gone.rnnic", "deep.rnnic", "clear.rnnic", "a photo.png")
    files = getattr(request, "param", [photo, cut, *(tmp_path / name for name in names)])
    with ViewerServer(files) as made:
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
    assert [entry["name"] for entry in listed][:3] == ["a photo.rnnic", "cut.rnnic", "gone.rnnic"]
    assert [entry["picture"] for entry in listed] == [False] * 5 + [True]
    assert rnnic.decode(get(listed[0]["url"])[1]).shape == (60, 90, 3)
    assert get(listed[2]["url"])[0] == 404
    for path in ("/../pyproject.toml", "/files/0/../../x", "/files/9/a", "/%2e%2e/setup.py"):
        assert get(path)[0] == 404
    for host in ("example.org:80", server.url[7:-1].partition(":")[0], "127.0.0.1:1"):
        assert get("/", Host=host)[0] == 403


def test_view_refuses_what_is_no_file_of_ours(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.rnnic"
    wrong.write_bytes(b"no image")
    result = CliRunner().invoke(command_line, ["view", str(wrong), "--no-browser"])
    assert result.exit_code == 1
    assert "wrong.rnnic" in result.stderr


def test_view_serves_until_interrupted(tmp_path: Path) -> None:
    photo, picture = tmp_path / "a.rnnic", tmp_path / "a.png"
    rnnic.write(photo, np.zeros((8, 8), np.uint8))
    Image.new("L", (8, 8)).save(picture)
    # A process that a script starts in the background ignores interrupts unless it says otherwise.
    program = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "from rnnic.cli import main; main()"
    )
    command = [sys.executable, "-c", program, "view", "--no-browser", str(photo), str(picture)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().split()[0]
            with urllib.request.urlopen(f"{url}files.json", timeout=30) as answer:
                listed = json.loads(answer.read())
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=30) == 0
        finally:
            process.kill()
    assert [entry["picture"] for entry in listed] == [False, True]


def test_a_port_that_is_taken_is_named(server: ViewerServer, tmp_path: Path) -> None:
    photo = tmp_path / "a photo.rnnic"
    port = str(server.server_address[1])
    command = ["view", str(photo), "--no-browser", "--port", port]
    result = CliRunner().invoke(command_line, command)
    assert result.exit_code == 2
    assert f"port {port} cannot be had" in result.stderr


@pytest.fixture
def page(server: ViewerServer) -> Iterator[Any]:
    """Open the page in Chromium; what it throws fails the test."""
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    problems: list[str] = []
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        opened = browser.new_page()
        opened.on("pageerror", lambda error: problems.append(str(error)))
        opened.goto(server.url)
        yield opened
        browser.close()
    assert not problems


def choose(page: Any, label: str) -> None:
    page.select_option("#files", label=label)


@pytest.mark.slow
def test_the_page_shows_saves_compares_and_explains(page: Any, tmp_path: Path) -> None:
    page.wait_for_selector('body[data-done="a photo.rnnic"]')
    assert "90 \u00d7 60, RGB, 8 bits" in page.inner_text("#facts")
    assert page.locator("#level option").all_inner_texts() == [
        *(f"1/{2**k}" for k in range(5, 0, -1)),
        "full",
    ]
    saved = tmp_path / "saved.png"
    for name, mode in (("a photo.rnnic", "RGB"), ("deep.rnnic", "I;16"), ("clear.rnnic", "RGBA")):
        choose(page, name)
        page.wait_for_selector(f'body[data-done="{name}"]')
        with page.expect_download() as download:
            page.click("#save")
        download.value.save_as(saved)
        with Image.open(saved) as image:
            assert image.mode == mode
            pixels = np.asarray(image)
        np.testing.assert_array_equal(pixels, rnnic.read(tmp_path / name))
    choose(page, "a photo.rnnic")
    page.wait_for_selector('body[data-done="a photo.rnnic"]')
    choose(page, "compare with a photo.png")
    page.wait_for_selector("#split:visible")
    page.wait_for_selector("#difference:visible")
    assert "Equal to a photo.png" in page.inner_text("#difference")
    page.set_input_files("#compare-file", saved)
    page.locator("#difference", has_text="40 \u00d7 33 pixels").wait_for()
    choose(page, "deep.rnnic")
    page.wait_for_selector('body[data-done="deep.rnnic"]')
    page.set_input_files("#compare-file", saved)
    page.locator("#difference", has_text="PSNR").wait_for()


@pytest.mark.slow
def test_the_page_explains_errors(page: Any) -> None:
    page.wait_for_selector('body[data-done="a photo.rnnic"]')
    choose(page, "cut.rnnic")
    page.wait_for_selector("#problem:visible")
    assert page.inner_text("#problem-kind") == "cut.rnnic: TruncatedError"
    assert "ends too early" in page.inner_text("#problem-text")
    choose(page, "gone.rnnic")
    page.locator("#problem-kind", has_text="gone.rnnic").wait_for()
    assert "404" in page.inner_text("#problem-text")
    choose(page, "deep.rnnic")
    page.wait_for_selector('body[data-done="deep.rnnic"]')
    assert page.is_hidden("#problem")


@pytest.mark.slow
def test_the_page_zooms_and_moves(page: Any) -> None:
    page.wait_for_selector('body[data-done="a photo.rnnic"]')
    page.focus("#stage")
    page.keyboard.press("1")
    assert page.inner_text("#zoom") == "100 %"
    page.click("#zoom-in")
    assert page.inner_text("#zoom") == "150 %"
    page.hover("#stage")
    page.mouse.wheel(0, -300)
    page.locator("#zoom", has_text="300 %").wait_for()
    page.set_viewport_size({"width": 390, "height": 800})
    page.click("#zoom-fit")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.slow
def test_fixtures_decode_to_their_checksums_in_chromium(page: Any) -> None:
    found = page.evaluate(_DECODE_ALL, [file.read_bytes().hex() for file in FILES])
    lines = (FOLDER / VERSION / "checksums.txt").read_text().splitlines()
    wanted = {name: crc for crc, name in map(str.split, lines)}
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


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 3])
def test_workers_decode_the_tiles_of_an_image(page: Any, workers: int) -> None:
    files = [
        rnnic.encode(photo_like(75, 110), quality=90, tile_size=32),
        rnnic.encode(pixels_of(75, 110, 4, np.uint16), quality=90, tile_size=32),
        rnnic.encode(pixels_of(40, 50, 2), method="raster", tile_size=16),
    ]
    for data in files:
        for options in ({}, {"region": [10, 20, 25, 3]}, {"reduce": 2}):
            found = page.evaluate(_DECODE_IN_WORKERS, [data.hex(), options, workers])
            assert found["checksum"] == f"{checksum(rnnic.decode(data, **options)):08x}"
            assert sorted(found["done"]) == list(range(1, len(found["done"]) + 1))
    chunks = chunks_of(files[0])
    last = max(i for i, (kind, _) in enumerate(chunks) if kind == "TILE")
    chunks[last] = ("TILE", bytes(len(chunks[last][1])))
    damaged = file_of(files[0], chunks)
    with pytest.raises(rnnic.RnnicError) as expected:
        rnnic.decode(damaged)
    found = page.evaluate(_DECODE_IN_WORKERS, [damaged.hex(), {}, workers])
    assert found["error"] == type(expected.value).__name__


_DECODE_IN_WORKERS = """async ([hex, options, workers]) => {
  const { crc32 } = await import("/rnnic.js");
  const { RemoteDecoder } = await import("/worker.js");
  const decoder = new RemoteDecoder(["/default.rnnm"], { workers });
  const done = [];
  try {
    await decoder.ready;
    const bytes = Uint8Array.from(hex.match(/../g), (byte) => parseInt(byte, 16));
    const { data } = await decoder.decode(bytes, options, (part) => done.push(part.done));
    return { checksum: crc32(new Uint8Array(data.buffer)).toString(16).padStart(8, "0"), done };
  } catch (error) {
    return { error: error.name };
  } finally {
    decoder.close();
  }
}"""


@pytest.mark.parametrize("name", SAMPLES)
def test_samples_are_what_their_script_makes(name: str) -> None:
    sample = SAMPLES[name]
    found = rnnic.read(SAMPLE_FOLDER / f"{name}.rnnic")
    header = rnnic.info(SAMPLE_FOLDER / f"{name}.rnnic")
    assert header.method == sample.options.get("method", "pyramid")
    if sample.draw is None:
        left, top, right, bottom = sample.crop
        assert found.shape == (bottom - top, right - left, 3)
        return
    drawn = sample.draw()
    assert (found.shape, found.dtype) == (drawn.shape, drawn.dtype)
    error = found.astype(float) - drawn
    if drawn.shape[-1] == 4:
        assert np.array_equal(found[..., 3], drawn[..., 3])
        error[drawn[..., 3] == 0] = 0
    assert np.mean(error**2) < (0.01 if sample.options.get("error_threshold") == 0 else 20)


def test_samples_are_listed_and_small() -> None:
    listed = json.loads((SAMPLE_FOLDER / "samples.json").read_text())
    assert [entry["name"] for entry in listed] == [f"{name}.rnnic" for name in SAMPLES]
    assert sum(path.stat().st_size for path in SAMPLE_FOLDER.iterdir()) < 250_000


@pytest.mark.slow
@pytest.mark.parametrize("server", [()], indirect=True)
def test_the_page_without_files_offers_samples(page: Any, server: ViewerServer) -> None:
    for sample in json.loads((SAMPLE_FOLDER / "samples.json").read_text()):
        page.goto(server.url)
        page.get_by_role("button", name=f"{sample['title']} {sample['about']}").press("Enter")
        page.wait_for_selector(f'body[data-done="{sample["name"]}"]')
        header = rnnic.info(SAMPLE_FOLDER / sample["name"])
        assert f"{header.width} \u00d7 {header.height}" in page.inner_text("#facts")
        assert page.locator("#hint").is_hidden()
        assert page.locator("#problem").is_hidden()
    choose(page, "spheres.rnnic")
    page.wait_for_selector('body[data-done="spheres.rnnic"]')
