"""Draw the README's figure: ``python docs/kodak_figure.py PYRAMID.json RASTER.json docs/images/kodak.png``.

The first two are what ``rnnic bench kodak --json FILE`` writes, with ``--method pyramid`` and without.
"""

import json
import sys
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt

mpl.use("Agg")


def main(pyramid: str, raster: str, picture: str) -> None:
    """Draw two bars for each image."""
    found = {"pyramid": json.loads(Path(pyramid).read_text())}
    found["raster"] = json.loads(Path(raster).read_text())
    order = sorted(found["pyramid"]["images"], key=lambda image: image["ratio"])
    names = [image["image"] for image in order]
    figure, axes = plt.subplots(figsize=(9, 3), dpi=120, layout="constrained")
    for shift, (method, colour) in zip(
        (-0.2, 0.2), (("pyramid", "#23448a"), ("raster", "#9db7e4")), strict=True
    ):
        ratios = {image["image"]: image["ratio"] for image in found[method]["images"]}
        label = f"{method}, all images: {found[method]['ratio']:.3f}"
        places = [place + shift for place in range(len(names))]
        axes.bar(places, [ratios[name] for name in names], 0.4, color=colour, label=label)
    axes.axhline(1, color="#c2183c", label="JPEG, quality 100")
    axes.set_xticks(range(len(names)), [Path(name).stem.removeprefix("kodim") for name in names])
    axes.set(
        ylim=(0, 1.3),
        xlabel="Kodak image",
        ylabel="bytes / JPEG bytes",
        title="Size at no less than the PSNR of JPEG at quality 100",
    )
    axes.margins(x=0.01)
    axes.legend(loc="upper left", frameon=False, ncols=3)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(picture)


if __name__ == "__main__":
    main(*sys.argv[1:])
