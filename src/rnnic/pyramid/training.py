"""Training of the shared model from photographs."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from rnnic.checkpoints import Checkpoints
from rnnic.entropy.rans import SYMBOL_BITS
from rnnic.mapping import Mapper, Photos, ThreadMapper
from rnnic.pyramid.encoder import encode_tile
from rnnic.pyramid.features import Centroids, CentroidSums, PassSamples, collect
from rnnic.pyramid.fitting import (
    estimate_frequencies,
    fit_activity,
    fit_taps,
    initial_frequencies,
    residuals_of,
)
from rnnic.pyramid.format import Pass, PyramidParams, quantiser_of
from rnnic.pyramid.model import (
    ACTIVITY_TERMS,
    CHROMA_TAPS,
    LUMA_TAPS,
    PASSES,
    ColourTables,
    PyramidModel,
    Quantiser,
)
from rnnic.pyramid.search import ESCAPE

__all__ = ["Kind", "TrainingSettings", "train"]

Progress = Callable[[str, float], None]
Pixels = npt.NDArray[np.uint8]
Result = TypeVar("Result")


@dataclass(frozen=True)
class TrainingSettings:
    """What a training run depends on besides the photos.

    Attributes
    ----------
    seed : int
        Of the photo order, the step sizes and the palette draw.
    photos : int
        How many photos each round uses at most, drawn at random; 0 means all. It bounds the memory, as
        some rounds keep samples of every photo.
    rounds : int
        Rounds of coding and counting for every quantiser.
    band_edges : tuple of float
        Step sizes, in samples, where one band of tables ends and the next begins.
    steps, usual_steps : tuple of float
        Smallest and largest step size trained; half of the photos get a usual one.
    draws : int
        Residuals drawn for a palette; a grid point drawn three times becomes an entry.
    classes, noisy_classes : tuple of int
        How many of luma and of chroma, the latter in the tables of noisy images.
    noise, noisy_steps : tuple of float
        For the tables of noisy images: least and greatest standard deviation, in steps, of the noise that
        is added to the photos, to each channel its own, and smallest and largest step size.
    """

    seed: int = 1
    photos: int = 200
    rounds: int = 3
    band_edges: tuple[float, ...] = (2.2, 4.4)
    steps: tuple[float, float] = (0.8, 160.0)
    usual_steps: tuple[float, float] = (3.5, 14.0)
    draws: int = 400_000
    classes: tuple[int, int] = (20, 11)
    noisy_classes: tuple[int, int] = (11, 10)
    scalar_spacing: float = 1.0
    trellis_spacing: float = 0.64
    weight: float = 0.10
    noise: tuple[float, float] = (0.25, 4.0)
    noisy_steps: tuple[float, float] = (0.8, 12.0)


class Kind(NamedTuple):
    """What tables are for."""

    name: str
    channels: int
    noisy: bool = False


def spacings(settings: TrainingSettings, states: int) -> npt.NDArray[np.float64]:
    """Grid spacings of the three components in steps; chroma coarser with a trellis."""
    if states == 1:
        s = settings.scalar_spacing
        return np.array([s, s, s])
    s = settings.trellis_spacing
    chroma = (0.8**3 / s) ** 0.5
    return np.array([s, chroma, chroma])


def class_edges(count: int, first: float, octaves: float) -> npt.NDArray[np.uint16]:
    """Class boundaries in 1/64 step, even in log2(activity + first) over so many octaves.

    The first is at 1, so that class 0 means "all zero".
    """
    edges = [1]
    for j in range(1, count - 1):
        bound = 64 * first * (2 ** (j * octaves / (count - 2)) - 1)
        edges.append(max(edges[-1] + 1, round(bound)))
    return np.array(edges, np.uint16)


def quantiser_from(
    orbits: npt.NDArray[np.int64], spacing: npt.NDArray[np.float64], states: int,
    settings: TrainingSettings,
    tables: tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint16]],
) -> Quantiser:  # fmt: skip
    """Split orbits (n, 3), most drawn first, into codebooks and start their tables."""
    if states == 1:
        books = [orbits]
    else:
        odd = orbits[:, 0] & 1
        zero = (orbits == 0).all(axis=1)
        books = [orbits[(odd == 0)], np.concatenate([orbits[zero], orbits[odd == 1]])]
    entries = min(max(len(b) for b in books), 511)
    k = np.zeros((len(books), entries, 3), np.uint8)
    for q, members in enumerate(books):
        k[q, : min(len(members), entries)] = members[:entries]
    magnitudes = np.rint(k * spacing * 64).astype(np.int16)
    bands = len(settings.band_edges) + 1
    common, rare = (
        np.repeat(frequencies[None], bands, axis=0)
        for frequencies in initial_frequencies(k, magnitudes, *tables)
    )
    return Quantiser(k, magnitudes, common, rare)


def first_tables(kind: Kind, settings: TrainingSettings) -> ColourTables:
    """Return a start: the parents' slope predicts, a full small grid quantises."""
    bands = len(settings.band_edges) + 1
    luma = np.zeros((bands, PASSES, LUMA_TAPS), np.int16)
    chroma = np.zeros((bands, PASSES, 2, CHROMA_TAPS), np.int16)
    luma[:, :, 0] = 512
    chroma[:, :, :, 0] = 512
    activity = np.zeros((bands, PASSES, 2, ACTIVITY_TERMS), np.uint16)
    activity[:, :, :, [0, 4]] = 400
    activity[:, :, :, 6:] = 700
    luma_classes, chroma_classes = settings.noisy_classes if kind.noisy else settings.classes
    luma_edges = class_edges(luma_classes, 0.15, octaves=8)
    if kind.channels == 1:
        chroma_edges = np.zeros(0, np.uint16)
        reach = (12, 1, 1)
    else:
        chroma_edges = class_edges(chroma_classes, 0.15, octaves=6)
        reach = (8, 4, 4)
    grid = np.stack(np.meshgrid(*[np.arange(r) for r in reach], indexing="ij"), -1)
    orbits = grid.reshape(-1, 3)
    orbits = orbits[np.argsort((orbits**2).sum(axis=1), kind="stable")]
    edges = (luma_edges, chroma_edges)
    scalar = quantiser_from(orbits, spacings(settings, 1), 1, settings, edges)
    trellis = quantiser_from(orbits, spacings(settings, 8), 8, settings, edges)
    return ColourTables(luma, chroma, activity, *edges, scalar, trellis)


def train(
    photos: Photos,
    settings: TrainingSettings,
    progress: Progress | None = None,
    checkpoints: Checkpoints | None = None,
    mapper: Mapper | None = None,
) -> PyramidModel:
    """Train a model.

    Parameters
    ----------
    photos : Photos
        At least one.
    settings : TrainingSettings
        Same settings and photos give the same model.
    progress : callable, optional
        Is given what is being done and the share that is done.
    checkpoints : Checkpoints, optional
        Where stages are kept, and found again; its identity must name photos and settings.
    mapper : Mapper, optional
        Where photos are coded.

    Returns
    -------
    PyramidModel
    """
    told = progress or (lambda _what, _share: None)
    run = _Run(photos, settings, told, checkpoints or Checkpoints(), mapper or ThreadMapper())
    return PyramidModel(
        run.edges,
        rgb=run.tables(Kind("RGB", 3)),
        grey=run.tables(Kind("grey", 1)),
        noisy=replace(run.tables(Kind("noisy", 3, noisy=True)), scalar=None),
    )


class _Job(NamedTuple):
    """A photo's number, the step size to code it with, in 1/1024 sample, and its noise, in samples."""

    photo: int
    step: int
    noise: float


class _Counted(NamedTuple):
    """What coding a photo tells: symbols of its band, samples, sums of what entries stood for."""

    band: int
    counts: npt.NDArray[np.int64]
    samples: PassSamples
    centroids: CentroidSums


@dataclass(frozen=True)
class _Coding:
    """Codes photos in a round: a function of the photo and these values alone.

    Attributes
    ----------
    tables : ColourTables
    turn : int
    refit : bool
        Whether samples for filters are wanted.
    """

    photos: Photos
    settings: TrainingSettings
    model: PyramidModel
    channels: int
    states: int
    turn: int = 0
    refit: bool = True

    def pixels(self, job: _Job) -> Pixels:
        """Load a photo; grey is the luma of Rec. 601."""
        pixels: Pixels = self.photos.load(job.photo)
        if job.noise > 0:
            rng = np.random.default_rng([self.settings.seed, 10, job.photo, self.states, self.turn])
            noise = rng.standard_normal(pixels.shape, np.float32) * np.float32(job.noise)
            pixels = np.clip(np.rint(pixels + noise), 0, 255).astype(np.uint8)
        if self.channels == 1:
            grey: Pixels = np.rint(pixels @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)
            return grey[:, :, None]
        return pixels

    def params(self, job: _Job) -> PyramidParams:
        """Return a photo's parameters."""
        return PyramidParams(job.step, self.states, 1, self.channels)

    def collect(self, job: _Job) -> PassSamples:
        """Gather features of every pass."""
        samples = PassSamples(len(self.model.band_edges) + 1, self.channels)
        rng = np.random.default_rng([self.settings.seed, 7, job.photo])
        encode_tile(self.pixels(job), self.params(job), self.model, 1,
                    weight=self.settings.weight,
                    sink=collect(samples, self.model.band(job.step), rng))  # fmt: skip
        return samples

    def count(self, job: _Job) -> _Counted:
        """Count symbols."""
        tables = self.model.tables(self.channels)
        quantiser = quantiser_of(tables, self.states)
        books, entries, _ = quantiser.orbits.shape
        counts = np.zeros((books * (tables.classes + tables.contexts), 1 << SYMBOL_BITS), np.int64)
        samples = PassSamples(len(self.model.band_edges) + 1, self.channels)
        centroids = Centroids(spacings(self.settings, self.states))
        band = self.model.band(job.step)
        rng = np.random.default_rng([self.settings.seed, 8, job.photo])
        gather = collect(samples, band, rng) if self.refit else None

        def sink(coded: Pass, state: dict[str, Any]) -> None:
            if coded.level < 4:
                centroids.add(coded, state)
            if gather is not None:
                gather(coded, state)

        # Shared filters are fitted first, then tables to what images' own filters leave.
        encode_tile(self.pixels(job), self.params(job), self.model, 4, tune=self.turn > 0,
                    weight=self.settings.weight, counts=counts, sink=sink)  # fmt: skip
        counts = np.delete(counts, np.s_[entries:ESCAPE], axis=1)
        return _Counted(band, counts, samples, centroids.parts())


class _Run:
    """One training run."""

    def __init__(
        self, photos: Photos, settings: TrainingSettings, progress: Progress,
        checkpoints: Checkpoints, mapper: Mapper,
    ) -> None:  # fmt: skip
        self.photos = photos
        self.settings = settings
        self.progress = progress
        self.checkpoints = checkpoints
        self.mapper = mapper
        self.bands = len(settings.band_edges) + 1
        self.edges = np.rint(np.array(settings.band_edges) * 1024).astype(np.uint32)

    def tables(self, kind: Kind) -> ColourTables:
        """Train everything for a kind of images."""
        tables = first_tables(kind, self.settings)
        # Filters first, with the plain grid; then palettes; then filters and counts again.
        for turn in range(2):
            what = f"{kind.name} filters {turn + 1}"
            tables = self.stage(what, partial(self.first, tables, kind, turn, what))
        for states in (8,) if kind.noisy else (8, 1):
            for turn in range(self.settings.rounds):
                what = f"{kind.name} tables, {states} states, round {turn + 1}"
                tables = self.stage(what, partial(self.round, tables, kind, states, turn, what))
        return tables

    def stage(self, name: str, compute: Callable[[], ColourTables]) -> ColourTables:
        """Return the tables that a stage made, when it was done before, or makes."""
        kept = self.checkpoints.stage(name, lambda: self.model(compute()).to_bytes())
        return PyramidModel.from_bytes(kept).rgb

    def first(self, tables: ColourTables, kind: Kind, turn: int, what: str) -> ColourTables:
        """Fit filters to what the plain grid leaves, the second time with palettes drawn from that."""
        samples = self.collect(tables, kind, 1, what)
        fitted = self.fit(tables, samples)
        return fitted if turn == 0 else self.with_palettes(fitted, samples)

    def round(
        self, tables: ColourTables, kind: Kind, states: int, turn: int, what: str
    ) -> ColourTables:
        """Count what is coded with a quantiser, and move its entries."""
        # The first round of the trellis refits the filters to what they will meet.
        refit = states == 8 and turn == 0
        counts, found, centroids = self.count(tables, kind, states, turn, what, refit)
        tables = self.with_counts(tables, states, counts)
        if found is not None:
            tables = self.fit(tables, found)
        if turn < self.settings.rounds - 1:
            tables = self.with_centroids(tables, states, centroids)
        return tables

    def jobs(self, kind: Kind, turn: int, limit: int) -> list[_Job]:
        """Photos, step sizes and noise of a round; every round has its own."""
        rng = np.random.default_rng([self.settings.seed, kind.channels, turn])
        order = rng.permutation(len(self.photos))
        count = min(limit or len(self.photos), len(self.photos))
        share = _strata(rng, count)
        if kind.noisy:
            steps = _between(self.settings.noisy_steps, share)
            noise = steps * _between(self.settings.noise, _strata(rng, count))
        else:
            steps, noise = self.spread_steps(share), np.zeros(count)
        return [
            _Job(int(photo), int(1024 * step), sigma)
            for photo, step, sigma in zip(order[:count], steps, noise.tolist(), strict=True)
        ]

    def spread_steps(self, share: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Spread step sizes, in samples; half of them go to the usual range, of high quality."""
        wide = _between(self.settings.steps, np.minimum(2 * share, 1))
        narrow = _between(self.settings.usual_steps, np.maximum(2 * share - 1, 0))
        return np.where(share < 0.5, wide, narrow)

    def model(self, tables: ColourTables) -> PyramidModel:
        """Wrap tables so that the encoder can use them."""
        return PyramidModel(self.edges, tables, tables, replace(tables, scalar=None))

    def mapped(
        self, work: Callable[[_Job], Result], jobs: list[_Job], what: str
    ) -> Iterator[Result]:
        """Yield what `work` makes of the photos, in order."""
        self.progress(what, 0.0)
        found = self.mapper.map(work, jobs, lambda job: self.photos.name(job.photo))
        for done, result in enumerate(found, 1):
            yield result
            self.progress(what, done / len(jobs))

    def collect(self, tables: ColourTables, kind: Kind, states: int, what: str) -> PassSamples:
        """Code photos and gather features of every pass."""
        samples = PassSamples(self.bands, kind.channels)
        limit = self.settings.photos or 60
        jobs = self.jobs(kind, 0, min(limit, 60))
        coding = _Coding(self.photos, self.settings, self.model(tables), kind.channels, states)
        for found in self.mapped(coding.collect, jobs, what):
            samples.extend(found)
        return samples

    def count(
        self, tables: ColourTables, kind: Kind, states: int, turn: int, what: str, refit: bool
    ) -> tuple[npt.NDArray[np.float64], PassSamples | None, Centroids]:
        """Code photos and count symbols by band: (bands, codebooks, classes + contexts, symbols)."""
        quantiser = quantiser_of(tables, states)
        books, entries, _ = quantiser.orbits.shape
        rows = books * (tables.classes + tables.contexts)
        counts = np.zeros((self.bands, rows, entries + 1), np.int64)
        samples = PassSamples(self.bands, kind.channels)
        centroids = Centroids(spacings(self.settings, states))
        jobs = self.jobs(kind, 10 * states + turn, self.settings.photos)
        model = self.model(tables)
        coding = _Coding(self.photos, self.settings, model, kind.channels, states, turn, refit)
        # In the photos' order: sums of floating point numbers depend on it.
        for found in self.mapped(coding.count, jobs, what):
            counts[found.band] += found.counts
            samples.extend(found.samples)
            centroids.extend(found.centroids)
        plain = books * tables.classes
        parts = [
            part.reshape(self.bands, books, -1, entries + 1)
            for part in (counts[:, :plain], counts[:, plain:])
        ]
        together = np.concatenate(parts, axis=2).astype(np.float64)
        return together, samples if refit else None, centroids

    def with_centroids(
        self, tables: ColourTables, states: int, centroids: Centroids
    ) -> ColourTables:
        """Move the palette's entries to the centroids of what they stood for."""
        old = quantiser_of(tables, states)
        new = replace(old, magnitudes=centroids.move(old.orbits, old.magnitudes))
        return replace(tables, scalar=new) if states == 1 else replace(tables, trellis=new)

    def fit(self, tables: ColourTables, samples: PassSamples) -> ColourTables:
        """Fit filters, then activity weights on their residuals."""
        luma, chroma = fit_taps(samples, tables.luma_taps, tables.chroma_taps)
        activity = fit_activity(samples, luma, chroma, tables.activity)
        return replace(tables, luma_taps=luma, chroma_taps=chroma, activity=activity)

    def with_palettes(self, tables: ColourTables, samples: PassSamples) -> ColourTables:
        """Draw palettes at random from the residuals."""
        rng = np.random.default_rng([self.settings.seed, 9])
        residuals = residuals_of(samples, tables.luma_taps, tables.chroma_taps)
        drawn = residuals[rng.integers(0, len(residuals), self.settings.draws)]
        made = []
        for states in (1, 8):
            spacing = spacings(self.settings, states)
            k = np.abs(np.rint(drawn / spacing)).astype(np.int64)
            reach = np.array([20.0, 8.0, 8.0]) / spacing
            k = k[(k <= reach).all(axis=1)]
            orbits, times = np.unique(k, axis=0, return_counts=True)
            keep = times >= 3
            order = np.argsort(-times[keep], kind="stable")
            orbits = orbits[keep][order]
            zero = (orbits == 0).all(axis=1)
            orbits = np.concatenate([np.zeros((1, 3), np.int64), orbits[~zero]])
            edges = (tables.luma_edges, tables.chroma_edges)
            made.append(quantiser_from(orbits, spacing, states, self.settings, edges))
        return replace(tables, scalar=made[0], trellis=made[1])

    def with_counts(
        self, tables: ColourTables, states: int, counts: npt.NDArray[np.float64]
    ) -> ColourTables:
        """Turn counts into probability tables."""
        old = quantiser_of(tables, states)
        common, rare = estimate_frequencies(counts, old, tables.luma_classes, tables.chroma_classes)
        new = replace(old, common=common, rare=rare)
        return replace(tables, scalar=new) if states == 1 else replace(tables, trellis=new)


def _strata(rng: np.random.Generator, count: int) -> npt.NDArray[np.float64]:
    """Draw numbers from 0 to 1 that cover the range evenly, in random order."""
    return (rng.permutation(count) + rng.random(count)) / count


def _between(
    limits: tuple[float, float], share: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return numbers whose logarithms are shares of the way from one limit to the other."""
    low, high = np.log(limits)
    between: npt.NDArray[np.float64] = np.exp(low + (high - low) * share)
    return between
