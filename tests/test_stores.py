"""Files behind URLs, through fsspec."""

import errno
import importlib
import io
import json
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checks import photo_like
from click.testing import CliRunner, Result
from PIL import Image

import rnnic
from rnnic.cli import command_line
from rnnic.output import OutputExistsError, atomic_output
from rnnic.stores import is_url

fsspec = pytest.importorskip("fsspec")

from fsspec.spec import AbstractFileSystem  # noqa: E402  # needs fsspec

IMAGE = photo_like(20, 30)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(command_line, [str(a) for a in arguments])


def fails(result: Result, code: int, *words: str) -> None:
    """Check that the command failed with one line, no traceback, and these words."""
    assert result.exit_code == code, result.output
    assert isinstance(result.exception, SystemExit)
    (line,) = result.stderr.splitlines()
    assert line.startswith("rnnic: ")
    for word in words:
        assert word in line


@pytest.fixture(autouse=True)
def _memory() -> Iterator[None]:
    """Leave nothing in memory."""
    yield
    memory = fsspec.filesystem("memory")
    memory.store.clear()
    memory.pseudo_dirs[:] = [""]


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass

    def do_PUT(self) -> None:  # the name that http.server looks for
        content = self.rfile.read(int(self.headers["Content-Length"]))
        Path(self.translate_path(self.path)).write_bytes(content)
        self.send_response(201)
        self.end_headers()


@pytest.fixture(name="server")
def _server(tmp_path: Path) -> Iterator[str]:
    """Serve the test's folder; return its URL."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=tmp_path)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("s3://bucket/a.rnnic", True),
        ("simplecache::https://host/a", True),
        ("zip://a.png::file:///b.zip", True),
        ("memory://a", True),
        ("a.rnnic", False),
        ("-", False),
        ("C://photos/a.rnnic", False),
        ("folder/memory://a", False),
        ("::a", False),
        (Path("memory://a"), False),
    ],
)
def test_what_is_a_url(name: str | Path, expected: bool) -> None:
    assert is_url(name) is expected


@pytest.mark.parametrize("kind", ["memory", "file", "simplecache", "http"])
def test_read_write_info(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    url = {
        "memory": "memory://folder/a.rnnic",
        "file": (tmp_path / "a.rnnic").as_uri(),
        "simplecache": "simplecache::memory://folder/a.rnnic",
        "http": "",
    }[kind]
    if not url:
        url = request.getfixturevalue("server") + "/a.rnnic"
    size = rnnic.write(url, IMAGE, error_threshold=0)
    assert rnnic.info(url).file_size == size
    np.testing.assert_array_equal(rnnic.read(url), IMAGE)
    assert rnnic.write(url, IMAGE, quality=50) < size
    assert rnnic.info(url).file_size < size
    with pytest.raises(OutputExistsError, match=r"a\.rnnic"):
        rnnic.write(url, IMAGE, overwrite=False)
    assert [path.name for path in tmp_path.iterdir()] in ([], ["a.rnnic"])


@pytest.mark.parametrize("kind", ["memory", "file", "http"])
def test_commands(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    base = {"memory": "memory://photos", "file": tmp_path.as_uri()}.get(kind)
    base = base or request.getfixturevalue("server")
    png = io.BytesIO()
    Image.fromarray(IMAGE).save(png, "PNG")
    fsspec.core.url_to_fs(f"{base}/in.png")[0].pipe_file(
        fsspec.core.url_to_fs(f"{base}/in.png")[1], png.getvalue()
    )
    made = run("compress", f"{base}/in.png", f"{base}/a.rnnic", 0, "--json")
    assert made.exit_code == 0, made.output
    report = json.loads(made.stdout)
    assert report["image"] == f"{base}/in.png"
    assert report["lossless"]
    assert json.loads(run("info", f"{base}/a.rnnic", "--json").stdout)["width"] == 30
    back = run("decompress", f"{base}/a.rnnic", f"{base}/out.png")
    assert back.exit_code == 0, back.output
    with fsspec.open(f"{base}/out.png") as file, Image.open(file) as image:
        np.testing.assert_array_equal(np.asarray(image), IMAGE)
    fails(run("compress", f"{base}/in.png", f"{base}/a.rnnic"), 1, f"{base}/a.rnnic", "--overwrite")
    again = run("compress", f"{base}/in.png", f"{base}/a.rnnic", "--overwrite")
    assert again.exit_code == 0, again.output
    assert rnnic.info(f"{base}/a.rnnic").file_size != report["bytes"]


def test_what_is_not_there(server: str, tmp_path: Path) -> None:
    for base in ("memory://none", tmp_path.as_uri(), server):
        url = f"{base}/a.rnnic"
        with pytest.raises(FileNotFoundError) as caught:
            rnnic.read(url)
        assert caught.value.filename == url
        fails(run("info", url), 1, url, "No such file")
    fails(run("compress", "memory://none/a.png", "memory://b.rnnic"), 1, "memory://none/a.png")
    assert not fsspec.filesystem("memory").exists("memory://b.rnnic")


def test_a_server_that_is_not_there() -> None:
    url = "http://127.0.0.1:9/a.rnnic"  # the port of a service that nobody runs
    with pytest.raises(OSError, match="127") as caught:
        rnnic.read(url)
    assert caught.value.filename == url


def test_damaged_file_is_named() -> None:
    fsspec.filesystem("memory").pipe_file("/a.rnnic", rnnic.encode(IMAGE)[:-9])
    for read in (rnnic.read, rnnic.info):
        with pytest.raises(rnnic.TruncatedError, match=r"^memory://a\.rnnic: "):
            read("memory://a.rnnic")


def test_unknown_kind() -> None:
    with pytest.raises(rnnic.RnnicError, match="nowhere://a"):
        rnnic.read("nowhere://a")
    fails(run("info", "nowhere://a"), 1, "nowhere://a")


def test_missing_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    known = importlib.import_module("fsspec.registry").known_implementations
    dull = {"class": "no_such_dull.System", "err": "Install dullfs"}
    monkeypatch.setitem(known, "dull", dull)
    with pytest.raises(rnnic.MissingDependencyError, match="dull://a: Install dullfs"):
        rnnic.read("dull://a")
    for name in [name for name in sys.modules if name.partition(".")[0] == "fsspec"]:
        monkeypatch.setitem(sys.modules, name, None)
    for call in (rnnic.read, rnnic.info, partial(rnnic.write, image=IMAGE)):
        with pytest.raises(rnnic.MissingDependencyError, match=r"rnnic\[fsspec\]"):
            call("memory://a")
    fails(run("info", "memory://a"), 1, "rnnic[fsspec]")


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_nothing_is_written_when_the_work_fails(error: type[BaseException]) -> None:
    def work() -> None:
        with atomic_output("memory://a.rnnic") as file:
            file.write(b"half")
            raise error

    with pytest.raises(error):
        work()
    assert not fsspec.filesystem("memory").store


def test_what_came_meanwhile_is_not_replaced() -> None:
    memory = fsspec.filesystem("memory")

    def work() -> None:
        with atomic_output("memory://a.rnnic") as file:
            file.write(b"mine")
            memory.pipe_file("/a.rnnic", b"theirs")

    with pytest.raises(OutputExistsError):
        work()
    assert memory.cat_file("/a.rnnic") == b"theirs"


class _Plain(AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """A store that writes byte after byte, as one behind FTP does."""

    protocol = "plain"
    cachable = False
    files: dict[str, bytes] = {}  # noqa: RUF012  # shared by all instances
    fails_at: str | None = None

    def _open(self, path: str, mode: str = "rb", **_: Any) -> Any:
        if self.fails_at == "open":
            raise NotImplementedError
        if mode == "rb":
            return io.BytesIO(self.files[path])
        return _PlainFile(path)

    def exists(self, path: str, **_: Any) -> bool:
        return path in self.files

    def cp_file(self, path1: str, path2: str, **_: Any) -> None:
        if self.fails_at == "move":
            raise PermissionError
        self.files[path2] = self.files[path1]

    def expand_path(self, path: str, **_: Any) -> list[str]:
        return [path]

    def isdir(self, path: str) -> bool:
        return path.endswith("/")

    def rm(self, path: str, **_: Any) -> None:
        del self.files[path]

    rm_file = rm


class _PlainFile(io.RawIOBase):
    """Shows at once what was written so far."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path
        _Plain.files[path] = b""

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        written = bytes(data)
        if _Plain.fails_at == "write":
            _Plain.files[self.path] = written[: len(written) // 2]
            raise OSError(errno.ENOSPC, "No space left on device")
        _Plain.files[self.path] = written
        return len(written)


@pytest.fixture(name="plain")
def _plain(monkeypatch: pytest.MonkeyPatch) -> type[_Plain]:
    fsspec.register_implementation("plain", _Plain, clobber=True)
    monkeypatch.setattr(_Plain, "files", {})
    return _Plain


@pytest.mark.parametrize("fails_at", ["open", "write", "move"])
def test_stores_that_show_halves_get_them_under_another_name(
    plain: type[_Plain], fails_at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rnnic.write("plain://folder/a.rnnic", IMAGE)
    assert list(plain.files) == ["folder/a.rnnic"]
    before = dict(plain.files)
    monkeypatch.setattr(plain, "fails_at", fails_at)
    for name in ("a", "b"):
        with pytest.raises(OSError, match=r"space|ermission|cannot") as caught:
            rnnic.write(f"plain://folder/{name}.rnnic", IMAGE, quality=50)
        assert caught.value.filename == f"plain://folder/{name}.rnnic"
        assert plain.files == before
