"""Peak memory of a codec, in a process of its own."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rnnic.bench.codecs import codec_of

__all__ = ["peak_memory"]

Pixels = npt.NDArray[np.uint8]

_TIMEOUT = 900
_WARM_UP_SIDE = 64
_STATUS = Path("/proc/self/status")
_RESET = Path("/proc/self/clear_refs")


def peak_memory(codec: str, pixels: Pixels, setting: float) -> tuple[float, float] | None:
    """Return by how many MB encoding and decoding make a process grow at most.

    The image and the file are in memory before, the codec's library and kernels are loaded.

    Returns
    -------
    tuple of float, or None
        None where the system does not tell (it must be Linux), or the process fails.
    """
    if not _RESET.exists():
        return None
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "image.npy"
        np.save(file, pixels)
        task = {"codec": codec, "file": str(file), "setting": setting}
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
    if done.returncode:
        return None
    encode_mb, decode_mb = json.loads(done.stdout)
    return encode_mb, decode_mb


def _resident(name: str) -> int:
    """Return a memory entry of this process's status, in bytes."""
    for line in _STATUS.read_text().splitlines():
        if line.startswith(name + ":"):
            return 1024 * int(line.split()[1])
    return 0


def _growth_mb(work: Callable[[], Any]) -> tuple[float, Any]:
    _RESET.write_text("5")  # the peak starts anew from what is in use now
    before = _resident("VmRSS")
    result = work()
    return (_resident("VmHWM") - before) / 1e6, result


def _run_task(task: dict[str, Any]) -> list[float]:
    codec, setting = codec_of(task["codec"]), task["setting"]
    pixels = np.load(task["file"])
    grey = pixels.ndim == 2
    codec.decode(codec.encode(pixels[:_WARM_UP_SIDE, :_WARM_UP_SIDE], setting), grey=grey)
    encode_mb, data = _growth_mb(lambda: codec.encode(pixels, setting))
    decode_mb, _ = _growth_mb(lambda: codec.decode(data, grey=grey))
    return [round(encode_mb, 1), round(decode_mb, 1)]


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_run_task(json.load(sys.stdin))))
