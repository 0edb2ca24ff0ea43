"""Pillow's plugin: after ``import rnnic.integrations.pillow``, Pillow opens and saves ``.rnnic`` files.

>>> import rnnic.integrations.pillow
>>> from PIL import Image
>>> Image.registered_extensions()[".rnnic"]
'RNNIC'
"""

import dataclasses
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile

import rnnic
from rnnic.container import MAX_SIDE, SIGNATURE, Header, parse
from rnnic.errors import OptionError, RnnicError
from rnnic.integrations.common import EXTENSION, info_of, metadata_of, read_head

__all__ = ["RnnicImageFile", "register"]

FORMAT = "RNNIC"
MIME_TYPE = "image/x-rnnic"

_MAX_REDUCE = 5
_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}


def _accept(prefix: bytes) -> bool:
    return prefix.startswith(SIGNATURE)


def _mode_of(header: Header) -> str:
    """Return Pillow's mode for an image; it has none for colour or alpha of 16 bits."""
    return "I;16" if (header.channels, header.bit_depth) == (1, 16) else _MODES[header.channels]


class RnnicImageFile(ImageFile.ImageFile):
    """An RNNIC file as Pillow opens it: header and metadata at once, pixels when they are asked for.

    Modes are L, LA, RGB, RGBA and, for grey of 16 bits, I;16. Colour and alpha of 16 bits, for which
    Pillow has no mode, are rounded to 8 bits; :func:`rnnic.read` gives all bits.
    """

    format = FORMAT
    format_description = "Random Nearest Neighbor Image Compression"
    text: dict[str, str]
    """Key-value text of the file."""

    _header: Header | None = None
    """Of the pixels that are still to be decoded."""
    _start = 0
    _reduce = 0

    def _open(self) -> None:
        file = self._file()
        self._start = file.tell()
        try:
            header, metadata = read_head(file)
        except RnnicError as error:
            raise SyntaxError(str(error)) from error
        self._header = header
        self._size = (header.width, header.height)
        self._mode = _mode_of(header)
        self.text = dict(metadata.text)
        self.info.update(info_of(metadata))
        self.tile = []  # Pillow before version 11 has None otherwise, which is no loadable image

    def _file(self) -> IO[bytes]:
        if self.fp is None:
            raise ValueError("Operation on closed image")
        return self.fp

    def _content(self) -> bytes:
        file = self._file()
        file.seek(self._start)
        return file.read()

    def verify(self) -> None:
        """Check the structure and the checksums of the whole file; then the image is closed."""
        try:
            parse(memoryview(self._content()), MAX_SIDE**2)
        except RnnicError as error:
            raise OSError(f"damaged image: {error}") from error
        super().verify()

    def draft(
        self,
        mode: str | None,  # noqa: ARG002
        size: tuple[int, int] | None,
    ) -> tuple[str, tuple[int, int, float, float]] | None:
        """Have the image decoded at 1/2, 1/4 … 1/32 of its size, the smallest not below `size`.

        Parameters
        ----------
        mode : str, optional
            Has no effect: no mode is decoded faster than the file's own.
        size : tuple of 2 int, optional
            Width and height in pixels.

        Returns
        -------
        tuple, optional
            The mode, and the place of the whole image in the reduced one; None if nothing changes.
        """
        header = self._header
        if header is None or size is None:
            return None
        # Some of Pillow's versions ask for fractions of pixels.
        scale = int(min(header.width / max(1, size[0]), header.height / max(1, size[1])))
        reduce = min(max(1, scale).bit_length() - 1, _MAX_REDUCE)
        if reduce <= self._reduce:
            return None
        self._reduce = reduce
        self._size = (-(-header.width >> reduce), -(-header.height >> reduce))
        return self.mode, (0, 0, header.width / 2**reduce, header.height / 2**reduce)

    def load(self) -> Any:
        """Decode the pixels, if that has not been done.

        With ``PIL.ImageFile.LOAD_TRUNCATED_IMAGES`` tiles that are damaged or missing are filled with what
        is there of them, or grey; header, metadata and index must be whole.

        Raises
        ------
        OSError
            If the file is damaged, cut off, or needs a model that is not at hand; the cause is the
            :class:`rnnic.RnnicError`.
        """
        header = self._header
        if header is not None:
            try:
                pixels = self._decode(header.width * header.height)
            except RnnicError as error:
                raise OSError(str(error)) from error
            self._take(pixels)
            self._header = None
            if self._exclusive_fp:
                self._file().close()
            self.fp = None
        return super().load()

    def _decode(self, limit: int) -> npt.NDArray[Any]:
        """Return the file's pixels; Pillow has checked their number, so that is the limit."""
        data = self._content()
        if ImageFile.LOAD_TRUNCATED_IMAGES:
            return rnnic.decode_report(data, reduce=self._reduce, max_pixels=limit).pixels
        return rnnic.decode(data, reduce=self._reduce, max_pixels=limit)

    def _take(self, pixels: npt.NDArray[Any]) -> None:
        """Make an array the image's pixels."""
        if self.mode != "I;16" and pixels.dtype == np.uint16:
            from rnnic.raster.rounding import eight_bits  # Numba takes its time to import

            pixels = eight_bits(pixels)
        elif self.mode == "I;16":
            pixels = pixels.astype("<u2", copy=False)
        image = Image.frombuffer(
            self.mode, self.size, np.ascontiguousarray(pixels), "raw", self.mode, 0, 1
        )
        self.im = image.im
        self.readonly = image.readonly  # Pillow copies such pixels before it changes them


def _writable(image: Image.Image) -> Image.Image:
    """Return the image in a mode that can be written.

    Raises
    ------
    OSError
        If there is none that keeps what it shows.
    """
    mode = image.mode
    if mode.startswith("I;16"):
        return image
    if image.has_transparency_data:
        wanted = "LA" if mode in ("1", "L", "LA", "La") else "RGBA"
    elif mode in ("1", "L"):
        wanted = "L"
    elif mode in ("P", "RGB", "RGBX", "CMYK", "YCbCr", "HSV"):
        wanted = "RGB"
    else:
        raise OSError(f"cannot write mode {mode} as {FORMAT}")
    return image if mode == wanted else image.convert(wanted)


def _options_for(asked: dict[str, Any]) -> rnnic.EncodeOptions:
    """Return the encoder's options among those of ``save``; as elsewhere in Pillow, others are ignored."""
    names = {field.name for field in dataclasses.fields(rnnic.EncodeOptions)}
    given = {name: asked[name] for name in names if asked.get(name) is not None}
    try:
        return rnnic.EncodeOptions(**given)
    except TypeError as error:
        raise OptionError(f"an option of the wrong type: {error}") from error


def _save(image: Image.Image, file: IO[bytes], filename: str | bytes) -> None:  # noqa: ARG001
    asked = image.encoderinfo
    # Like Pillow's other formats: what colours mean goes along unasked, other metadata does not.
    metadata = metadata_of({"icc_profile": image.info.get("icc_profile")} | asked)
    options = _options_for(asked)
    from rnnic.encoding import encode_file  # Numba takes its time to import

    file.write(encode_file(np.asarray(_writable(image)), options, metadata))


def _save_all(image: Image.Image, file: IO[bytes], filename: str | bytes) -> None:
    images = [image, *image.encoderinfo.get("append_images", ())]
    frames = sum(getattr(each, "n_frames", 1) for each in images)
    if frames > 1:
        raise OSError(f"cannot write {frames} frames as {FORMAT}: save the one you want on its own")
    _save(image, file, filename)


def register() -> None:
    """Tell Pillow of the format; importing the module has done so, and doing it again changes nothing."""
    Image.register_open(FORMAT, RnnicImageFile, _accept)
    Image.register_save(FORMAT, _save)
    Image.register_save_all(FORMAT, _save_all)
    Image.register_extension(FORMAT, EXTENSION)
    Image.register_mime(FORMAT, MIME_TYPE)


register()
