"""HEVC still images through PyAV: x265 encodes, FFmpeg's decoder decodes."""

import importlib
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from rnnic.bench.codecs import Codec, Control
from rnnic.errors import MissingDependencyError, RnnicError

__all__ = ["Hevc"]

Pixels = npt.NDArray[np.uint8]

# JPEG's (BT.601, full range) matrix; in 10 bits its rounding does not limit the quality.
_TO_YCC = np.array(
    [[0.299, 0.587, 0.114], [-0.168735892, -0.331264108, 0.5], [0.5, -0.418687589, -0.081312411]]
)
_TO_RGB = np.linalg.inv(_TO_YCC)
_PEAK = 1023
_FORMAT = "yuv444p10le"
_MIN_SIDE = 32
"""x265 refuses images below one coding unit; smaller ones are padded."""


def _steps(setting: int) -> tuple[int, int]:
    """Return luma's QP and the offset of colour's; a whole QP alone is a step of 0.7 dB."""
    whole, fifths = -(-setting // 5), -setting % 5
    return (whole, -fifths) if fifths <= 1 else (whole - 1, 5 - fifths)


class Hevc(Codec):
    """HEVC intra, 4:4:4, 10 bit."""

    name = "hevc"
    label = "HEVC 4:4:4 10 bit"
    description = (
        "x265, preset slow, tune psnr, 4:4:4, 10 bit, one intra frame, raw bitstream; colours through"
        " NumPy, whose time is counted; setting: five times the QP (rounded; between whole QPs of luma"
        " those of colour are offset)"
    )
    control = Control(255, 15, integer=True)
    ladder = (230, 195, 165, 135, 110, 85, 60, 35)
    takes_grey = False

    @property
    def _av(self) -> Any:
        try:
            return importlib.import_module("av")
        except ImportError as error:
            raise MissingDependencyError(
                "PyAV is not installed: pip install 'rnnic[bench]'"
            ) from error

    def version(self) -> str:
        """Return name and version of the library."""
        av = self._av
        if "libx265" not in av.codecs_available:
            raise MissingDependencyError(
                "this build of PyAV has no x265; the wheels that pip install 'rnnic[bench]' gets have"
            )
        number = ".".join(map(str, av.library_versions["libavcodec"]))
        return f"x265 in PyAV {av.__version__} (libavcodec {number})"

    def _encode(self, pixels: Pixels, setting: float) -> bytes:
        av = self._av
        height, width = pixels.shape[:2]
        padding = [(0, max(0, _MIN_SIDE - side)) for side in (height, width)]
        padded = np.pad(pixels, [*padding, (0, 0)], mode="edge")
        frame = av.VideoFrame(padded.shape[1], padded.shape[0], _FORMAT)
        ycc = padded.astype(np.float32) @ (_TO_YCC.T * _PEAK / 255).astype(np.float32)
        ycc[:, :, 1:] += (_PEAK + 1) // 2
        samples = np.clip(np.rint(ycc), 0, _PEAK).astype(np.uint16)
        for channel, plane in enumerate(frame.planes):
            rows = np.frombuffer(plane, np.uint16).reshape(plane.height, -1)
            rows[:, : plane.width] = samples[:, :, channel]
        context = av.CodecContext.create("libx265", "w")
        context.height, context.width = padded.shape[:2]
        context.pix_fmt = _FORMAT
        context.time_base = Fraction(1, 25)
        context.thread_count = 1
        luma, colour = _steps(int(setting))
        offsets = f"cbqpoffs={colour}:crqpoffs={colour}"
        single = "keyint=1:frame-threads=1:pools=none:log-level=none:info=0"
        context.options = {
            "preset": "slow",
            "tune": "psnr",
            "x265-params": f"crf={luma}:{offsets}:{single}",
        }
        packets = [*context.encode(frame), *context.encode(None)]
        size = height.to_bytes(2, "big") + width.to_bytes(2, "big")
        coded: bytes = size + b"".join(bytes(packet) for packet in packets)
        return coded

    def _decode(self, data: bytes) -> Pixels:
        av = self._av
        height, width = int.from_bytes(data[:2], "big"), int.from_bytes(data[2:4], "big")
        context = av.CodecContext.create("hevc", "r")
        context.thread_count = 1
        frames = [*context.decode(av.Packet(data[4:])), *context.decode(None)]
        if len(frames) != 1:
            raise RnnicError(f"HEVC: {len(frames)} frames came out of one image")
        planes = [
            np.frombuffer(plane, np.uint16).reshape(plane.height, -1)[:height, :width]
            for plane in frames[0].planes
        ]
        ycc = np.stack(planes, axis=-1).astype(np.float32)
        ycc[:, :, 1:] -= (_PEAK + 1) // 2
        rgb = ycc @ (_TO_RGB.T * 255 / _PEAK).astype(np.float32)
        pixels: Pixels = np.clip(np.rint(rgb), 0, 255).astype(np.uint8)
        return pixels
