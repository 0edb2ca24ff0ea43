"""Print what each quality of method pyramid gives: ``python docs/quality_table.py IMAGE [...]``."""

import sys

import numpy as np

from rnnic.api import decode, encode
from rnnic.files import load_image
from rnnic.metrics import psnr
from rnnic.pyramid.method import step_of_quality

QUALITIES = (100, 95, 90, 80, 70, 60, 50, 30, 10, 0)


def main(paths: list[str]) -> None:
    """Print a Markdown table of means, and of the range of PSNR."""
    images = [load_image(path).pixels for path in paths]
    print("| quality | step | PSNR (dB) | bits per pixel |")
    print("|---|---|---|---|")
    for quality in QUALITIES:
        found, bits = [], []
        for pixels in images:
            data = encode(pixels, quality=quality)
            found.append(psnr(decode(data), pixels))
            bits.append(8 * len(data) / (pixels.shape[0] * pixels.shape[1]))
        mean, low, high = np.mean(found), min(found), max(found)
        step = step_of_quality(quality)
        print(
            f"| {quality} | {step:.2f} | {mean:.1f} ({low:.1f} … {high:.1f}) | {np.mean(bits):.2f} |"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
