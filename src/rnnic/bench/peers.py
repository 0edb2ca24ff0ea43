"""Peers from Pillow's and imagecodecs' wheels."""

import contextlib
import importlib
import io
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from rnnic.bench.codecs import Codec, Control
from rnnic.errors import MissingDependencyError

__all__ = ["PEERS"]

Pixels = npt.NDArray[np.uint8]


def _module(name: str, package: str) -> Any:
    """Return a module of an extra."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingDependencyError(
            f"{package} is not installed: pip install 'rnnic[bench]'"
        ) from error


def _lacking(package: str, what: str) -> MissingDependencyError:
    return MissingDependencyError(
        f"this build of {package} has no {what}; the wheels that pip install 'rnnic[bench]' gets have"
    )


class _PillowCodec(Codec):
    """A codec that Pillow's wheels carry."""

    feature: ClassVar[str]
    format_name: ClassVar[str]

    def version(self) -> str:
        from PIL import __version__, features

        if not features.check(self.feature):
            raise _lacking("Pillow", self.format_name)
        library = "libjpeg_turbo" if self.feature == "jpg" else self.feature
        return f"{library.replace('_', '-')} {features.version(library)}, Pillow {__version__}"

    def _options(self, setting: float) -> Mapping[str, Any]:
        raise NotImplementedError

    def _encode(self, pixels: Pixels, setting: float) -> bytes:
        from PIL import Image

        file = io.BytesIO()
        Image.fromarray(pixels).save(file, self.format_name, **self._options(setting))
        return file.getvalue()

    def _decode(self, data: bytes) -> Pixels:
        from PIL import Image

        with Image.open(io.BytesIO(data), formats=[self.format_name]) as image:
            return np.asarray(image)


class _Jpeg(_PillowCodec):
    feature = "jpg"
    format_name = "JPEG"
    control = Control(0, 100, integer=True)
    ladder = (10, 25, 50, 70, 85, 93, 97, 100)
    subsampling: ClassVar[str]

    def _options(self, setting: float) -> Mapping[str, Any]:
        return {"quality": int(setting), "subsampling": self.subsampling, "optimize": True}


class Jpeg420(_Jpeg):
    """JPEG with colour at half the resolution."""

    name = "jpeg-420"
    label = "JPEG 4:2:0"
    description = "libjpeg-turbo, 4:2:0, optimised Huffman tables; setting: quality"
    subsampling = "4:2:0"


class Jpeg444(_Jpeg):
    """JPEG with colour at full resolution."""

    name = "jpeg-444"
    label = "JPEG 4:4:4"
    description = "libjpeg-turbo, 4:4:4, optimised Huffman tables; setting: quality"
    subsampling = "4:4:4"


class WebP(_PillowCodec):
    """Lossy WebP."""

    name = "webp"
    label = "WebP"
    description = "libwebp, lossy (always 4:2:0), method 6; setting: quality"
    feature = "webp"
    format_name = "WEBP"
    control = Control(0, 100, integer=True)
    ladder = (5, 25, 50, 70, 83, 91, 96, 100)
    takes_grey = False

    def _options(self, setting: float) -> Mapping[str, Any]:
        return {"quality": int(setting), "method": 6}


@contextlib.contextmanager
def _one_thread_avif() -> Iterator[None]:
    from PIL import AvifImagePlugin

    before = AvifImagePlugin.DEFAULT_MAX_THREADS
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    try:
        yield
    finally:
        AvifImagePlugin.DEFAULT_MAX_THREADS = before


class Avif8(_PillowCodec):
    """AVIF of 8 bits."""

    name = "avif-8"
    label = "AVIF 4:4:4 8 bit"
    description = "libavif with libaom, 4:4:4, 8 bit, speed 6, tune psnr; setting: quality"
    feature = "avif"
    format_name = "AVIF"
    control = Control(0, 100, integer=True)
    ladder = (10, 30, 50, 65, 80, 89, 95, 100)
    takes_grey = False

    def _options(self, setting: float) -> Mapping[str, Any]:
        return {
            "quality": int(setting),
            "subsampling": "4:4:4",
            "speed": 6,
            "max_threads": 1,
            "advanced": {"tune": "psnr"},
        }

    def _decode(self, data: bytes) -> Pixels:
        with _one_thread_avif():
            return super()._decode(data)


class _ImagecodecsCodec(Codec):
    """A codec that imagecodecs' wheels carry."""

    library: ClassVar[str]

    @property
    def _codecs(self) -> Any:
        return _module("imagecodecs", "imagecodecs")

    def version(self) -> str:
        codecs = self._codecs
        constants = getattr(codecs, self.library, None)
        if constants is None or not constants.available:
            raise _lacking("imagecodecs", self.label)
        library = getattr(codecs, f"{self.library.lower()}_version")()
        return f"{library.replace('-', ' ')}, imagecodecs {codecs.__version__}"


class Avif10(_ImagecodecsCodec):
    """AVIF of 10 bits, from and to 8."""

    name = "avif-10"
    label = "AVIF 4:4:4 10 bit"
    description = "libavif with libaom, 4:4:4, 10 bit, speed 6; setting: quality"
    library = "AVIF"
    control = Control(0, 99, integer=True)  # 100 is another mode, lossless in 10 bits
    ladder = (10, 30, 50, 65, 80, 89, 95, 99)
    takes_grey = False

    def _encode(self, pixels: Pixels, setting: float) -> bytes:
        wide = pixels.astype(np.uint16)
        data: bytes = self._codecs.avif_encode(
            wide << 2 | wide >> 6,
            level=int(setting),
            speed=6,
            bitspersample=10,
            pixelformat="444",
            numthreads=1,
        )
        return data

    def _decode(self, data: bytes) -> Pixels:
        wide = self._codecs.avif_decode(data, numthreads=1).astype(np.uint32)
        narrow: Pixels = ((wide * 255 + 511) // 1023).astype(np.uint8)
        return narrow


class JpegXl(_ImagecodecsCodec):
    """Lossy JPEG XL (VarDCT)."""

    name = "jxl"
    label = "JPEG XL"
    description = "libjxl, VarDCT, effort 7; setting: distance"
    library = "JPEGXL"
    control = Control(25, 0.01, logarithmic=True)
    ladder = (15, 6, 3, 1.5, 0.7, 0.25, 0.08, 0.02)

    def _encode(self, pixels: Pixels, setting: float) -> bytes:
        data: bytes = self._codecs.jpegxl_encode(pixels, distance=setting, effort=7, numthreads=1)
        return data

    def _decode(self, data: bytes) -> Pixels:
        pixels: Pixels = self._codecs.jpegxl_decode(data, numthreads=1)
        return pixels


class Jpeg2000(_ImagecodecsCodec):
    """JPEG 2000 with the 9/7 wavelet."""

    name = "j2k"
    label = "JPEG 2000"
    description = (
        "OpenJPEG, 9/7 wavelet, ICT, raw codestream, one quality layer; setting: its own PSNR"
    )
    library = "JPEG2K"
    control = Control(15, 75)
    ladder = (27, 31, 35, 39, 43, 47, 51, 55)

    def _encode(self, pixels: Pixels, setting: float) -> bytes:
        data: bytes = self._codecs.jpeg2k_encode(
            pixels,
            level=setting,
            codecformat="j2k",
            reversible=False,
            mct=pixels.ndim == 3,
            numthreads=1,
        )
        return data

    def _decode(self, data: bytes) -> Pixels:
        pixels: Pixels = self._codecs.jpeg2k_decode(data, numthreads=1)
        return pixels


class Htj2k(_ImagecodecsCodec):
    """High-throughput JPEG 2000 with the 9/7 wavelet."""

    name = "htj2k"
    label = "HTJ2K"
    description = (
        "OpenJPH, 9/7 wavelet, ICT, raw codestream; samples in the middle of a 16-bit range, as"
        " values beyond 0 … 255 would wrap around in the library; setting: quantisation step in 8 bits"
    )
    library = "HTJ2K"
    control = Control(0.5, 0.0005, logarithmic=True)
    ladder = (0.2, 0.1, 0.05, 0.025, 0.0125, 0.006, 0.003, 0.0015)

    _SCALE = 128
    _OFFSET = 2**14

    def _encode(self, pixels: Pixels, setting: float) -> bytes:
        wide = pixels.astype(np.uint16) * np.uint16(self._SCALE) + np.uint16(self._OFFSET)
        data: bytes = self._codecs.htj2k_encode(
            wide, level=setting * self._SCALE / 256, reversible=False, rgb=pixels.ndim == 3
        )
        return data

    def _decode(self, data: bytes) -> Pixels:
        wide = self._codecs.htj2k_decode(data).astype(np.int32)
        narrow = (wide - self._OFFSET + self._SCALE // 2) // self._SCALE
        pixels: Pixels = np.clip(narrow, 0, 255).astype(np.uint8)
        return pixels


class JpegXr(_ImagecodecsCodec):
    """JPEG XR."""

    name = "jxr"
    label = "JPEG XR"
    description = "jxrlib, 4:4:4, overlap as the library chooses; setting: quality"
    library = "JPEGXR"
    control = Control(0.01, 0.999)
    ladder = (0.1, 0.3, 0.5, 0.65, 0.8, 0.88, 0.94, 0.98)

    def _encode(self, pixels: Pixels, setting: float) -> bytes:
        data: bytes = self._codecs.jpegxr_encode(pixels, level=float(setting))
        return data

    def _decode(self, data: bytes) -> Pixels:
        pixels: Pixels = self._codecs.jpegxr_decode(data)
        return pixels


class JpegLs(_ImagecodecsCodec):
    """JPEG-LS, near-lossless."""

    name = "jpegls"
    label = "JPEG-LS"
    description = "CharLS, no colour transform; setting: NEAR, the greatest error of a sample"
    library = "JPEGLS"
    control = Control(60, 0, integer=True)
    ladder = (24, 16, 10, 7, 5, 3, 2, 1)

    def _encode(self, pixels: Pixels, setting: float) -> bytes:
        data: bytes = self._codecs.jpegls_encode(pixels, level=int(setting))
        return data

    def _decode(self, data: bytes) -> Pixels:
        pixels: Pixels = self._codecs.jpegls_decode(data)
        return pixels


PEERS: tuple[type[Codec], ...] = (
    *(Avif10, Avif8, JpegXl, Jpeg2000, Htj2k, JpegXr, WebP, Jpeg444, Jpeg420, JpegLs),
)
"""All of them, in the order of tables."""
