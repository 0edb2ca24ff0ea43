"""Check `rnnic bench` against JPEG figures computed on their own: ``python docs/check_jpeg.py IMAGE [...]``.

Takes nothing from the package but the results under test: Pillow writes and reads the files, the PSNR is
computed in whole numbers. Exit code 1 if a figure is off by more than 0.01 dB or 0.1 % of the bytes.
"""

import io
import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image


def independent(path: str, quality: int, subsampling: int) -> tuple[int, float]:
    """Return bytes and PSNR of an image as JPEG."""
    original = Image.open(path).convert("RGB")
    file = io.BytesIO()
    original.save(file, "JPEG", quality=quality, subsampling=subsampling, optimize=True)
    first, second = (np.asarray(i, np.int64) for i in (original, Image.open(file)))
    square = int(((first - second) ** 2).sum())
    return len(file.getvalue()), 20 * math.log10(255) - 10 * math.log10(square / first.size)


def main(paths: list[str]) -> int:
    """Compare every point of the curves; return the exit code."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        options = ["--codec", "jpeg-420", "--codec", "jpeg-444", "--rounds", "1", "--no-memory"]
        command = [sys.executable, "-m", "rnnic", "bench", "curve", *paths, "-o", str(result)]
        subprocess.run([*command, *options], check=True, stdout=subprocess.DEVNULL)
        found = json.loads(result.read_text())
    place = {image["id"]: image["path"] for image in found["images"]}
    worst_db = worst_share = 0.0
    count = 0
    for codec, subsampling in (("jpeg-420", 2), ("jpeg-444", 0)):
        (own,) = [one for one in found["codecs"] if one["name"] == codec]
        for point in own["points"]:
            size, psnr = independent(place[point["image"]], int(point["setting"]), subsampling)
            worst_db = max(worst_db, abs(psnr - point["psnr"]))
            worst_share = max(worst_share, abs(size - point["bytes"]) / size)
            count += 1
    print(
        f"{count} points: PSNR off by at most {worst_db:.6f} dB, bytes by {100 * worst_share:.4f} %"
    )
    return int(not count or worst_db > 0.01 or worst_share > 0.001)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
