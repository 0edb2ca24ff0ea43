"""Draw the figures of how method pyramid works; ``docs/figures.py`` calls it.

What is drawn is what the encoder had: a sink is given the state of every pass.
"""

from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

import rnnic
from rnnic.pyramid.encoder import encode_tile
from rnnic.pyramid.features import gather
from rnnic.pyramid.format import STEP_SCALE, Pass, PyramidParams, sign_vectors
from rnnic.pyramid.method import SECTION
from rnnic.pyramid.model import PyramidModel
from rnnic.pyramid.search import ESCAPE, code_lengths

mpl.use("Agg")

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]
STEP = 4.0
"""About what quality 90 is; in samples."""
COLOURS = ("#23448a", "#c2183c")
DPI = 110


def shared_model() -> PyramidModel:
    """Return what method pyramid has in the model of the package."""
    return PyramidModel.from_bytes(rnnic.default_model().sections[SECTION])


def parameters(step: float) -> PyramidParams:
    """Return parameters of one lane, so that the rows of a pass are together."""
    return PyramidParams(round(step * STEP_SCALE), states=8, lanes=1)


def vector_probabilities(
    model: PyramidModel, luma: int, chroma: int
) -> tuple[list[Floats], list[Floats]]:
    """Return, for each codebook, its vectors in steps (n, 3) and how probable they are in a class."""
    tables = model.rgb
    quantiser = tables.trellis
    books, entries, _ = quantiser.orbits.shape
    bits = code_lengths(quantiser, model.band(parameters(STEP).step)).astype(np.float64)
    vectors = sign_vectors(quantiser).reshape(books, -1, 8, 3)[:, :entries] / 64
    signs = (quantiser.orbits > 0).sum(axis=2)
    found: tuple[list[Floats], list[Floats]] = ([], [])
    for book in range(books):
        common = bits[book * tables.classes + luma * tables.chroma_classes + chroma]
        rare = bits[
            books * tables.classes + book * tables.contexts + 4 * tables.luma_classes + luma
        ]
        length = np.minimum(common[:entries], common[ESCAPE] + rare[:entries])
        real = np.arange(8) < (1 << signs[book])[:, None]
        found[0].append(vectors[book][real])
        found[1].append(np.exp2(-np.repeat(length[:, None], 8, axis=1)[real]))
    return found


def draw_palette() -> Figure:
    """Draw the palette in space, and how probable its vectors are in three classes."""
    model = shared_model()
    figure = plt.figure(figsize=(10.5, 7.4), dpi=DPI, layout="constrained")
    vectors, _ = vector_probabilities(model, 0, 0)
    axes: Any = figure.add_subplot(2, 2, 1, projection="3d")
    for book in (0, 1):
        x, y, z = vectors[book].T
        axes.scatter(x, y, z, s=4, color=COLOURS[book], alpha=0.9, linewidths=0)
    axes.set(
        xlabel="luma",
        ylabel="first chroma",
        zlabel="second chroma",
        title=f"all {sum(map(len, vectors))} vectors",
    )
    for place, (luma, chroma) in enumerate(((4, 1), (9, 4), (13, 7)), start=2):
        vectors, chances = vector_probabilities(model, luma, chroma)
        flat: Any = figure.add_subplot(2, 2, place)
        for book in (0, 1):
            level = vectors[book][:, 2] == 0
            x, y = vectors[book][level, :2].T
            size = 1500 * chances[book][level] ** 0.75
            label = f"codebook {book}"
            flat.scatter(x, y, s=size, color=COLOURS[book], alpha=0.55, linewidths=0, label=label)
        edges = model.rgb.luma_edges[luma - 1] / 64, model.rgb.luma_edges[luma] / 64
        flat.set(
            xlim=(-9, 9),
            ylim=(-5, 5),
            xlabel="luma, steps",
            ylabel="first chroma, steps",
            title=f"expected luma residual {edges[0]:.1f} to {edges[1]:.1f} steps",
        )
        flat.set_aspect("equal")
    handles = flat.legend(loc="upper right", frameon=False, fontsize=8).legend_handles
    for handle in handles:
        handle.set_sizes([30])
    return figure


def luma_classes(
    model: PyramidModel, step: Pass, state: dict[str, Any], band: int
) -> npt.NDArray[np.int64]:
    """Return the luma class of every pair of a pass, (rows, columns), by the model's weights."""
    every = np.arange(step.rows * step.columns)
    features = gather(step, state, every)["activity"][0].astype(np.float64)
    weights = model.rgb.activity[band, step.level, 0].astype(np.float64) / 4096
    found = np.searchsorted(model.rgb.luma_edges, 64 * (weights @ features), side="right")
    return found.astype(np.int64).reshape(step.rows, step.columns)


def finest_pass(image: Pixels, step: float) -> tuple[Pass, dict[str, Any]]:
    """Encode an image as one tile with the model's own filters; return the state of its last pass."""
    found: list[tuple[Pass, dict[str, Any]]] = []

    def sink(done: Pass, state: dict[str, Any]) -> None:
        if done.level == 0:
            found.append((done, {name: np.copy(value) for name, value in state.items()}))

    encode_tile(image, parameters(step), shared_model(), tune=False, sink=sink)
    return found[0]


def draw_classes(image: Pixels) -> Figure:
    """Draw the luma class of every pair of the finest pass."""
    model = shared_model()
    done, state = finest_pass(image, STEP)
    classes = luma_classes(model, done, state, model.band(parameters(STEP).step))
    figure, axes = plt.subplots(1, 2, figsize=(9, 4.4), dpi=80, layout="constrained")
    axes[0].imshow(image)
    axes[0].set_title("image")
    shown = axes[1].imshow(classes.repeat(2, axis=1), cmap="magma", interpolation="nearest")
    axes[1].set_title("luma class of each pair, finest pass")
    figure.colorbar(shown, ax=axes[1], shrink=0.85)
    for one in axes:
        one.set_axis_off()
    return figure


def draw_prediction(image: Pixels) -> Figure:
    """Draw the differences of the finest pass, their prediction, and what remains of them."""
    done, state = finest_pass(image, STEP)
    source = state["source"][0]
    covered = np.s_[: done.rows, : 2 * done.columns : 2]
    true = source[covered] - np.roll(source, -1, axis=1)[covered]
    area = np.s_[0, 1 : done.rows + 1, 1 : done.columns + 1]
    residual = state["residuals"][area]
    predicted = state["differences"][area] - residual
    figure, axes = plt.subplots(1, 5, figsize=(12, 3.1), dpi=DPI, layout="constrained")
    axes[0].imshow(image)
    axes[0].set_title("image")
    panels = (
        ("differences", true),
        ("predicted", predicted),
        ("what remains", true - predicted),
        ("luma of the vectors", residual),
    )
    reach = 30.0
    for one, (title, values) in zip(axes[1:], panels, strict=True):
        samples = values.astype(np.float64) / 64
        shown = one.imshow(
            samples.repeat(2, axis=1), cmap="RdBu", vmin=-reach, vmax=reach, interpolation="nearest"
        )
        one.set_title(f"{title}\nmean square {np.square(samples).mean():.1f}", fontsize=10)
    figure.colorbar(shown, ax=axes[-1], shrink=0.8, label="samples")
    for one in axes:
        one.set_axis_off()
    return figure


def bytes_of_passes(image: Pixels, step: float) -> tuple[dict[int, float], int]:
    """Return the bytes of every pass by level, as the tables say them, and of the whole tile."""
    model, params = shared_model(), parameters(step)
    quantiser = model.rgb.trellis
    lengths = code_lengths(quantiser, model.band(params.step)).astype(np.float64)
    counts = np.zeros(lengths.shape, np.int64)
    found: dict[int, float] = {}
    before = counts.copy()

    def sink(done: Pass, _state: dict[str, Any]) -> None:
        now = counts - before
        found[done.level] = float(lengths[now > 0] @ now[now > 0]) / 8
        before[:] = counts

    data, _ = encode_tile(image, params, model, counts=counts, sink=sink)
    return found, len(data)


def draw_passes(image: Pixels) -> Figure:
    """Draw what each pass takes at two step sizes."""
    figure, axes = plt.subplots(figsize=(9, 3.2), dpi=DPI, layout="constrained")
    names: list[str] = []
    for shift, step, colour in ((-0.2, STEP, "#23448a"), (0.2, 20.0, "#9db7e4")):
        found, total = bytes_of_passes(image, step)
        rest = total - sum(found.values())
        levels = sorted(found, reverse=True)
        names = ["filters,\nbase"] + [f"{level}\nalong {'yx'[level % 2 == 0]}" for level in levels]
        shares = [100 * rest / total] + [100 * found[level] / total for level in levels]
        label = f"step {step:g}: {total} bytes"
        print(label, {level: round(found[level]) for level in levels}, "rest", round(rest))
        places = np.arange(len(shares)) + shift
        bars = axes.bar(places, shares, 0.4, color=colour, label=label)
        axes.bar_label(bars, [f"{share:.1f}" for share in shares], fontsize=7)
    axes.set_xticks(range(len(names)), names, fontsize=8)
    axes.set(ylabel="% of the bytes", xlabel="pass, coarse to fine")
    axes.legend(loc="upper left", frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    return figure
