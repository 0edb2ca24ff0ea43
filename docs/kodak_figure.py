"""Draw the README's figure: ``python docs/kodak_figure.py RESULT.json docs/images/kodak.png``.

RESULT.json is what ``rnnic bench kodak --json RESULT.json`` writes.
"""

import json
import sys
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt

mpl.use("Agg")


def main(result: str, picture: str) -> None:
    """Draw a bar for each image."""
    found = json.loads(Path(result).read_text())
    images = sorted(found["images"], key=lambda image: image["ratio"])
    names = [Path(image["image"]).stem.removeprefix("kodim") for image in images]
    figure, axes = plt.subplots(figsize=(9, 3), dpi=120, layout="constrained")
    axes.bar(names, [image["ratio"] for image in images], color="#23448a")
    axes.axhline(1, color="#c2183c", label="JPEG, quality 100")
    total = found["ratio"]
    axes.axhline(total, color="#222222", ls="--", lw=1, label=f"RNNIC, all images: {total:.3f}")
    axes.set(
        ylim=(0, 1.25),
        xlabel="Kodak image",
        ylabel="bytes / JPEG bytes",
        title="Method raster at no less than the PSNR of JPEG at quality 100",
    )
    axes.margins(x=0.01)
    axes.legend(loc="upper left", frameon=False, ncols=2)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(picture)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
