"""Peak memory of a codec, in a process of its own."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rnnic.bench.codecs import codec_of

__all__ = ["Peaks", "peak_memory"]

Pixels = npt.NDArray[np.uint8]

_TIMEOUT = 900
_WARM_UP_SIDE = 64
_STATUS = Path("/proc/self/status")
_RESET = Path("/proc/self/clear_refs")


class Peaks(NamedTuple):
    """Growth in MB."""

    encode_mb: float
    decode_mb: float


def peak_memory(codec: str, pixels: Pixels, setting: float, data: bytes) -> Peaks | None:
    """Return by how many MB encoding and decoding make a process grow at most.

    Each has a process of its own, that holds the image or the file before, and has loaded the codec.

    Parameters
    ----------
    codec : str
    pixels : uint8 (H, W) or (H, W, 3)
    setting : float
    data : bytes
        The file that the codec makes of them at the setting.

    Returns
    -------
    Peaks or None
        None where the system does not tell (it must be Linux), or a process fails.
    """
    if not _RESET.exists():
        return None
    with tempfile.TemporaryDirectory() as folder:
        image, file = Path(folder) / "image.npy", Path(folder) / "file"
        np.save(image, pixels)
        file.write_bytes(data)
        task = {"codec": codec, "image": str(image), "file": str(file), "setting": setting}
        peaks = [_in_process(task | {"work": work}) for work in ("encode", "decode")]
    encode_mb, decode_mb = peaks
    return None if encode_mb is None or decode_mb is None else Peaks(encode_mb, decode_mb)


def _in_process(task: dict[str, Any]) -> float | None:
    try:
        done = subprocess.run(
            [sys.executable, "-m", "rnnic.bench.memory"],
            input=json.dumps(task),
            capture_output=True,
            text=True,
            check=False,
            timeout=_TIMEOUT,
        )
    except subprocess.TimeoutExpired:
        return None
    return None if done.returncode else float(json.loads(done.stdout))


def _resident(name: str) -> int:
    """Return a memory entry of this process's status, in bytes."""
    for line in _STATUS.read_text().splitlines():
        if line.startswith(name + ":"):
            return 1024 * int(line.split()[1])
    return 0


def _run_task(task: dict[str, Any]) -> float:
    codec, setting = codec_of(task["codec"]), task["setting"]
    image = np.load(task["image"], mmap_mode="r")
    grey = image.ndim == 2
    small = np.array(image[:_WARM_UP_SIDE, :_WARM_UP_SIDE])
    codec.decode(codec.encode(small, setting), grey=grey)
    # One of the two only: what was freed would be there to be used again without growth.
    pixels = np.array(image) if task["work"] == "encode" else small
    data = Path(task["file"]).read_bytes()
    _RESET.write_text("5")  # the peak starts anew from what is in use now
    before = _resident("VmRSS")
    if task["work"] == "encode":
        codec.encode(pixels, setting)
    else:
        codec.decode(data, grey=grey)
    return round((_resident("VmHWM") - before) / 1e6, 1)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_run_task(json.load(sys.stdin))))
