"""What ``import rnnic`` offers: encode, decode, and the same from and to files."""

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy.typing as npt

from rnnic.container import MAX_SIDE, parse
from rnnic.decoding import Data, Decoded, PathLike, decode, decode_report
from rnnic.encoding import Encoded, encode, encode_image
from rnnic.errors import RnnicError
from rnnic.metadata import Metadata
from rnnic.methods import method_by_code
from rnnic.output import atomic_output
from rnnic.stores import is_url, read_url

__all__ = [
    "Decoded",
    "Encoded",
    "FileInfo",
    "decode",
    "decode_report",
    "encode",
    "encode_image",
    "info",
    "read",
    "write",
]

Pixels = npt.NDArray[Any]  # uint8 or uint16


def _load(source: PathLike | BinaryIO) -> tuple[bytes, str]:
    """Return the content of a file, and its name for messages."""
    if isinstance(source, (str, os.PathLike)):
        name = os.fspath(source)
        return read_url(name) if is_url(name) else Path(name).read_bytes(), name
    return source.read(), str(getattr(source, "name", "file"))


def _named(name: str, error: RnnicError) -> RnnicError:
    """Return the error with the file's name before its message."""
    return type(error)(f"{name}: {error}")


def read(source: PathLike | BinaryIO, **options: Any) -> Pixels:
    """Decompress a file.

    Parameters
    ----------
    source : path, URL or binary file
        What to read; a URL such as ``s3://…``, ``https://…`` or ``memory://…`` through fsspec.
    **options
        Those of :func:`decode`.

    Raises
    ------
    OSError
        If the file cannot be read.
    MissingDependencyError
        If the library that a URL needs is not installed.
    RnnicError
        As :func:`decode`; the message names the file.
    """
    data, name = _load(source)
    try:
        return decode(data, **options)
    except RnnicError as error:
        raise _named(name, error) from error


def write(
    target: PathLike | BinaryIO,
    image: npt.ArrayLike,
    *,
    overwrite: bool = True,
    **options: Any,
) -> int:
    """Compress an image into a file, which is written whole or not at all.

    Parameters
    ----------
    target : path, URL or binary file
        Where to write. A path or URL is replaced only once the new file is complete.
    image : uint8 or uint16 (H, W) or (H, W, c)
        As :func:`encode` takes it.
    overwrite : bool
        Whether an existing file is replaced.
    **options
        Those of :func:`encode`.

    Returns
    -------
    int
        Number of bytes written.

    Raises
    ------
    OSError
        If the file cannot be written.
    RnnicError
        As :func:`encode`.
    """
    data = encode(image, **options)
    if isinstance(target, (str, os.PathLike)):
        with atomic_output(target, overwrite=overwrite) as file:
            file.write(data)
    else:
        target.write(data)
    return len(data)


@dataclass(frozen=True)
class FileInfo:
    """What a file says of itself, without its pixels being decoded.

    Parameters
    ----------
    width, height : int
        In pixels.
    channels : int
        1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha.
    alpha : bool
        Whether the last channel is alpha.
    bit_depth : int
        Bits of a sample, 8 or 16.
    method : str
        ``"pyramid"`` or ``"raster"``.
    parameters : dict
        What the method was given, by name: JSON values.
    model_id : str
        Name of the model's section that decodes the file, 32 hexadecimal digits.
    tile_size : int
        Side of a tile, in pixels.
    tiles : int
        Number of tiles.
    file_size : int
        In bytes.
    metadata : Metadata
    """

    width: int
    height: int
    channels: int
    alpha: bool
    bit_depth: int
    method: str
    parameters: dict[str, Any]
    model_id: str
    tile_size: int
    tiles: int
    file_size: int
    metadata: Metadata

    @property
    def bits_per_pixel(self) -> float:
        """Size of the file over the number of pixels, in bits."""
        return 8 * self.file_size / (self.width * self.height)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON values; of the metadata, only the sizes."""
        found = dataclasses.asdict(dataclasses.replace(self, metadata=Metadata()))
        found["bits_per_pixel"] = self.bits_per_pixel
        found["metadata"] = self.metadata.sizes()
        return found


def info(source: Data | PathLike | BinaryIO) -> FileInfo:
    """Return what a file says of itself; all its checksums are verified.

    Parameters
    ----------
    source : bytes-like, path, URL or binary file
        The file or its content.

    Raises
    ------
    OSError
        If the file cannot be read.
    FormatError, TruncatedError, ChecksumError, LimitError
        If it is not a whole, undamaged file; the message names it.
    """
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _info(memoryview(source))
    data, name = _load(source)
    try:
        return _info(memoryview(data))
    except RnnicError as error:
        raise _named(name, error) from error


def _info(data: memoryview) -> FileInfo:
    container = parse(data, MAX_SIDE**2)
    header = container.header
    method = method_by_code(header.method)
    return FileInfo(
        width=header.width,
        height=header.height,
        channels=header.channels,
        alpha=header.has_alpha,
        bit_depth=header.bit_depth,
        method=method.name,
        parameters=method.describe(header),
        model_id=header.model_id.hex(),
        tile_size=header.tile_size,
        tiles=header.tile_count,
        file_size=len(data),
        metadata=container.metadata,
    )
