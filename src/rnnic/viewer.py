"""A local web server for the viewer page, whose decoder is JavaScript."""

import json
import os
from collections.abc import Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files as package_files
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from rnnic.errors import MissingDependencyError

__all__ = ["ViewerServer", "is_picture", "page_folder"]

HOST = "127.0.0.1"
_PICTURES = {".png", ".jpg", ".jpeg", ".webp", ".avif", ".gif", ".bmp"}
_PAGE = {
    "index.html": "text/html; charset=utf-8",
    "viewer.css": "text/css; charset=utf-8",
    "viewer.js": "text/javascript; charset=utf-8",
    "stage.js": "text/javascript; charset=utf-8",
    "png.js": "text/javascript; charset=utf-8",
    "worker.js": "text/javascript; charset=utf-8",
    "rnnic.js": "text/javascript; charset=utf-8",
}
_SAMPLES = {".json": "application/json", ".rnnic": "application/octet-stream"}
_POLICY = "default-src 'self'; img-src 'self' blob: data:; style-src 'self'; frame-ancestors 'none'"


def is_picture(path: str | os.PathLike[str]) -> bool:
    """Return whether a file is one that browsers show themselves, which the page compares with."""
    return Path(path).suffix.lower() in _PICTURES


def page_folder() -> Path:
    """Return the folder with the page's files: of an installed package, or of a checkout.

    Raises
    ------
    MissingDependencyError
        If neither is there.
    """
    package = Path(str(package_files("rnnic")))
    for folder in (package / "web", package.parent.parent / "web"):
        if all((folder / name).is_file() for name in (*_PAGE, "samples/samples.json")):
            return folder
    raise MissingDependencyError(
        "the viewer's page is not installed; `pip install --force-reinstall rnnic` brings it"
    )


class ViewerServer(ThreadingHTTPServer):
    """Serves the page, the default model and some files to this machine alone.

    Parameters
    ----------
    files : sequence of paths
        What the page offers; they are read when they are asked for. Without any it offers its samples.
    port : int
        0 takes any that is free.

    Raises
    ------
    OSError
        If the port is in use.
    """

    daemon_threads = True

    def __init__(self, files: Sequence[str | os.PathLike[str]], port: int = 0) -> None:
        folder = page_folder()
        model = Path(str(package_files("rnnic"))) / "models" / "default.rnnm"
        self.served = {f"/{name}": (folder / name, kind) for name, kind in _PAGE.items()}
        self.served["/"] = self.served["/index.html"]
        self.served["/default.rnnm"] = (model, "application/octet-stream")
        for sample in sorted((folder / "samples").iterdir()):
            kind = _SAMPLES.get(sample.suffix)
            if kind:
                self.served[f"/samples/{sample.name}"] = (sample, kind)
        listed = []
        for number, file in enumerate(map(Path, files)):
            url = f"/files/{number}/{file.name}"
            self.served[url] = (file, "application/octet-stream")
            listed.append({"name": file.name, "url": quote(url), "picture": is_picture(file)})
        self.listing = json.dumps(listed).encode()
        super().__init__((HOST, port), _Handler)

    @property
    def url(self) -> str:
        """The page's address."""
        return f"http://{HOST}:{self.server_address[1]}/"


class _Handler(BaseHTTPRequestHandler):
    server: ViewerServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer with one of the files served."""
        path = unquote(urlsplit(self.path).path)
        # Another page that names this host by its own domain gets nothing.
        port = self.server.server_address[1]
        if self.headers.get("Host") not in (f"{HOST}:{port}", f"localhost:{port}"):
            self.send_error(HTTPStatus.FORBIDDEN)
        elif path == "/files.json":
            self._send(self.server.listing, "application/json")
        elif path not in self.server.served:
            self.send_error(HTTPStatus.NOT_FOUND)
        else:
            file, kind = self.server.served[path]
            try:
                content = file.read_bytes()
            except OSError as error:
                self.send_error(HTTPStatus.NOT_FOUND, error.strerror)
                return
            self._send(content, kind)

    def _send(self, content: bytes, kind: str) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Content-Security-Policy", _POLICY)
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing of requests."""
