"""Running a benchmark: images, codecs and settings in turn, timed on one thread, resumable."""

import hashlib
import math
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rnnic.bench.codecs import Codec
from rnnic.bench.machine import describe_machine, machine_id
from rnnic.bench.matching import smallest_file
from rnnic.bench.measures import measure
from rnnic.bench.memory import peak_memory
from rnnic.bench.results import CURVE, MATCHED, CodecInfo, ImageInfo, Point, Results
from rnnic.errors import OptionError, RnnicError
from rnnic.files import load_image
from rnnic.metrics import psnr

__all__ = [
    "Curve",
    "Goal",
    "Matched",
    "Run",
    "Settings",
    "find_images",
    "image_id",
    "parse_goal",
    "usable_pixels",
]

Pixels = npt.NDArray[np.uint8]
Progress = Callable[[float, str], None]

_WARM_UP_SIDE = 64
_MAX_REPEATED_SECONDS = 2.0
"""A codec that has taken so long for one image is not timed again on it."""


def find_images(sources: Iterable[str | Path]) -> list[Path]:
    """Return the image files that are named, and those in the folders that are, at any depth.

    Raises
    ------
    RnnicError
        If a source does not exist, or there is no image at all.
    """
    from PIL import Image

    places = [Path(source) for source in sources]
    suffixes = set(Image.registered_extensions())
    found: list[Path] = []
    for source in places:
        if source.is_dir():
            inside = (p for p in source.rglob("*") if p.suffix.lower() in suffixes and p.is_file())
            found += sorted(inside, key=lambda path: path.relative_to(source).as_posix())
        elif source.is_file():
            found.append(source)
        else:
            raise RnnicError(f"{source}: no such file or folder")
    if not found:
        names = ", ".join(map(str, places))
        raise RnnicError(f"{names}: no image file is there; name images or folders with some")
    return list(dict.fromkeys(found))


@dataclass(frozen=True)
class Goal:
    """A PSNR to be met: a number of dB, or that of a codec at a setting."""

    psnr: float | None = None
    codec: Codec | None = None
    setting: float | None = None

    @property
    def rung(self) -> str:
        """How the goal is named in results."""
        if self.codec is None:
            return f"{self.psnr:g} dB"
        return f"{self.codec.name} {self.setting:g}"

    def of(self, pixels: Pixels) -> float:
        """Return the PSNR that an image is to have, in dB."""
        if self.codec is None:
            assert self.psnr is not None
            return self.psnr
        assert self.setting is not None
        data = self.codec.encode(pixels, self.setting)
        return psnr(pixels, self.codec.decode(data, grey=pixels.ndim == 2))


@dataclass(frozen=True)
class Curve:
    """Every codec at the settings of its ladder, or at `points` of them, evenly chosen."""

    points: int | None = None
    mode = CURVE

    def ladder(self, codec: Codec) -> tuple[float, ...]:
        """Return a codec's settings."""
        count = len(codec.ladder)
        if self.points is None or self.points >= count:
            return codec.ladder
        chosen = np.linspace(0, count - 1, self.points).round().astype(int)
        return tuple(codec.ladder[index] for index in chosen)

    def steps(self, codecs: Sequence[Codec]) -> int:
        """Return how many rounds of all codecs there are."""
        return max(len(self.ladder(codec)) for codec in codecs)

    def rung(self, codec: Codec, step: int) -> str | None:
        """Return what a codec's point of a step is called, None where it has none."""
        ladder = self.ladder(codec)
        return f"{ladder[step]:g}" if step < len(ladder) else None

    def goal(self, _pixels: Pixels, _step: int) -> float | None:
        """Return the PSNR to be met: none."""
        return None


@dataclass(frozen=True)
class Matched:
    """Every codec's smallest file that meets each of the goals."""

    goals: tuple[Goal, ...]
    mode = MATCHED

    def steps(self, _codecs: Sequence[Codec]) -> int:
        """Return how many rounds of all codecs there are."""
        return len(self.goals)

    def rung(self, _codec: Codec, step: int) -> str:
        """Return what a codec's point of a step is called."""
        return self.goals[step].rung

    def goal(self, pixels: Pixels, step: int) -> float:
        """Return the PSNR to be met, in dB."""
        return self.goals[step].of(pixels)


@dataclass(frozen=True)
class Settings:
    """How to measure.

    Parameters
    ----------
    rounds : int
        Times each codec is run for its median; 1 takes the first.
    memory : bool
        Whether peak memory is measured, once an image and codec.
    """

    rounds: int = 3
    memory: bool = True

    def __post_init__(self) -> None:
        if self.rounds < 1:
            raise OptionError(f"rounds is {self.rounds}; it must be at least 1")


@dataclass
class _Task:
    """One point in the making."""

    codec: Codec
    point: Point
    setting: float
    data: bytes
    encode_seconds: list[float] = field(default_factory=list)
    decode_seconds: list[float] = field(default_factory=list)


class Run:
    """A benchmark that adds to results what they lack.

    Parameters
    ----------
    plan : Curve or Matched
    codecs : sequence of Codec
    settings : Settings
    results : Results
        Points in it, of the same version of a codec, are not measured again.
    """

    def __init__(
        self, plan: Curve | Matched, codecs: Sequence[Codec], settings: Settings, results: Results
    ) -> None:
        self.plan, self.codecs, self.settings, self.results = plan, codecs, settings, results
        machine = describe_machine()
        self._machine = machine_id(machine)
        results.machines[self._machine] = machine
        self._versions = {codec.name: codec.version() for codec in codecs}
        for codec in codecs:
            results.codecs[codec.name] = CodecInfo(
                codec.name, codec.label, codec.description, self._versions[codec.name], codec.own
            )
            stale = [
                point.key
                for point in results.points.values()
                if point.codec == codec.name and point.version != self._versions[codec.name]
            ]
            for key in stale:
                del results.points[key]
        self._warm: set[str] = set()
        self._costs: dict[str, list[float]] = defaultdict(list)

    def images(
        self, paths: Sequence[Path], progress: Progress, save: Callable[[], None]
    ) -> Iterator[ImageInfo]:
        """Measure images, one after the other; yield each when it is done.

        An image that cannot be used is named in `Results.skipped`.

        Parameters
        ----------
        paths : sequence of Path
        progress : callable
            Receives the fraction done and what is being done.
        save : callable
            Called after each round of all codecs.
        """
        steps = self.plan.steps(self.codecs)
        total = len(paths) * steps * len(self.codecs)
        done = 0
        for path in paths:
            try:
                pixels = usable_pixels(path)
            except (RnnicError, OSError, MemoryError) as error:
                self.results.skipped[str(path)] = str(error)
                total -= steps * len(self.codecs)
                save()
                continue
            self.results.skipped.pop(str(path), None)
            image = _describe(path, pixels)
            self.results.images[image.id] = image
            for step in range(steps):
                wanted = self._lacking(image, step)
                done += len(self.codecs) - len(wanted)
                if wanted:
                    tasks = []
                    goal = self.plan.goal(pixels, step)
                    for codec in wanted:
                        progress(
                            done / total, f"{image.name} {codec.name}{self._left(total - done)}"
                        )
                        tasks += self._first(codec, image, pixels, step, goal)
                        done += 1
                    self._time(tasks, pixels)
                    for task in tasks:
                        self.results.add(self._finished(task, pixels, step == steps // 2))
                    save()
            yield image

    def _lacking(self, image: ImageInfo, step: int) -> list[Codec]:
        rungs = ((codec, self.plan.rung(codec, step)) for codec in self.codecs)
        return [
            codec
            for codec, rung in rungs
            if rung is not None and (image.id, codec.name, rung) not in self.results.points
        ]

    def _left(self, points: int) -> str:
        """Return a note of the time left, taking all points for as dear as those so far."""
        costs = [statistics.fmean(costs) for costs in self._costs.values() if costs]
        if not costs:
            return ""
        seconds = points * statistics.fmean(costs)
        return f", {seconds / 60:.0f} min left" if seconds >= 90 else f", {seconds:.0f} s left"

    def _first(
        self, codec: Codec, image: ImageInfo, pixels: Pixels, step: int, goal: float | None
    ) -> list[_Task]:
        """Make a point's file and measure it; a point that fails is added as such at once."""
        started = time.perf_counter()
        rung = self.plan.rung(codec, step)
        assert rung is not None
        point = Point(
            image=image.id,
            codec=codec.name,
            rung=rung,
            version=self._versions[codec.name],
            machine=self._machine,
            goal=goal,
        )
        try:
            self._warm_up(codec, pixels)
            setting, data, encode_seconds = self._file(codec, pixels, step, goal)
            before = time.perf_counter()
            copy = codec.decode(data, grey=pixels.ndim == 2)
            decode_seconds = time.perf_counter() - before
            if copy.shape != pixels.shape:
                raise RnnicError(f"{codec.name} returned an image of shape {copy.shape}")
            found = measure(pixels, copy)
        except (RnnicError, MemoryError) as error:
            self.results.add(_replaced(point, error=str(error) or "not enough memory"))
            return []
        finally:
            self._costs[codec.name].append(time.perf_counter() - started)
        if goal is not None and found.psnr < goal:
            note = f"at most {found.psnr:.2f} dB"
            self.results.add(_replaced(point, error=note, psnr=found.psnr))
            return []
        area = pixels.shape[0] * pixels.shape[1]
        point = _replaced(
            point, setting=setting, bytes=len(data), bpp=8 * len(data) / area, **asdict(found)
        )
        return [_Task(codec, point, setting, data, encode_seconds, [decode_seconds])]

    def _warm_up(self, codec: Codec, pixels: Pixels) -> None:
        """Load and compile what a codec needs, which is not to be timed."""
        if codec.name in self._warm:
            return
        self._warm.add(codec.name)
        small = pixels[:_WARM_UP_SIDE, :_WARM_UP_SIDE]
        setting = codec.ladder[len(codec.ladder) // 2]
        codec.decode(codec.encode(small, setting), grey=small.ndim == 2)

    def _file(
        self, codec: Codec, pixels: Pixels, step: int, goal: float | None
    ) -> tuple[float, bytes, list[float]]:
        """Return the setting, the file, and the seconds it took, none where a search found it."""
        if isinstance(self.plan, Curve):
            setting = self.plan.ladder(codec)[step]
            before = time.perf_counter()
            data = codec.encode(pixels, setting)
            return setting, data, [time.perf_counter() - before]
        assert goal is not None
        reference = self.plan.goals[step]
        if reference.codec is not None and reference.codec.name == codec.name:
            assert reference.setting is not None
            return reference.setting, codec.encode(pixels, reference.setting), []
        match = smallest_file(codec, pixels, goal)
        return match.setting, match.data, []

    def _time(self, tasks: Sequence[_Task], pixels: Pixels) -> None:
        """Time all codecs in turn, so that all meet the same moods of the machine."""
        grey = pixels.ndim == 2
        for number in range(self.settings.rounds):
            for task in tasks:
                spent = sum(task.encode_seconds)
                encodes, decodes = len(task.encode_seconds), len(task.decode_seconds)
                if encodes <= number and (encodes == 0 or spent < _MAX_REPEATED_SECONDS):
                    before = time.perf_counter()
                    task.codec.encode(pixels, task.setting)
                    task.encode_seconds.append(time.perf_counter() - before)
                if decodes <= number:
                    before = time.perf_counter()
                    task.codec.decode(task.data, grey=grey)
                    task.decode_seconds.append(time.perf_counter() - before)

    def _finished(self, task: _Task, pixels: Pixels, middle: bool) -> Point:
        """Return a point with its times and, in the middle of the ladder, its memory."""
        peaks = None
        if self.settings.memory and middle:
            peaks = peak_memory(task.codec.name, pixels, task.setting, task.data)
        return _replaced(
            task.point,
            encode_seconds=statistics.median(task.encode_seconds),
            decode_seconds=statistics.median(task.decode_seconds),
            rounds=len(task.encode_seconds),
            encode_peak_mb=peaks.encode_mb if peaks else None,
            decode_peak_mb=peaks.decode_mb if peaks else None,
        )


def _replaced(point: Point, **changes: object) -> Point:
    return Point(**(asdict(point) | changes))


def usable_pixels(path: Path) -> Pixels:
    """Return the pixels of an image that all codecs can be compared on.

    Raises
    ------
    RnnicError, OSError
        If it cannot be read, or is of another kind.
    """
    pixels = load_image(path).pixels
    colours = pixels.shape[2] if pixels.ndim == 3 else 1
    if pixels.dtype != np.uint8 or colours not in (1, 3):
        raise RnnicError(
            f"{path}: {colours} channels of {8 * pixels.itemsize} bits; the comparison takes 8-bit"
            " grey and RGB: convert it first"
        )
    return pixels[:, :, 0] if pixels.ndim == 3 and colours == 1 else pixels


def _describe(path: Path, pixels: Pixels) -> ImageInfo:
    height, width = pixels.shape[:2]
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    return ImageInfo(path.name, str(path), image_id(pixels), width, height, channels)


def image_id(pixels: Pixels) -> str:
    """Return sixteen digits that stand for an image's pixels."""
    digest = hashlib.sha256(repr(pixels.shape).encode() + np.ascontiguousarray(pixels).tobytes())
    return digest.hexdigest()[:16]


def parse_goal(text: str) -> Goal:
    """Return the goal that ``42`` (dB) or ``jpeg-420@100`` (codec and setting) stands for.

    Raises
    ------
    OptionError
        If it is neither.
    MissingDependencyError
        If the codec's library is missing.
    """
    from rnnic.bench.codecs import codec_of

    name, at, number = text.rpartition("@")
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise OptionError(f"{text!r} is no goal; write a PSNR in dB or CODEC@SETTING")
    if not at:
        return Goal(psnr=value)
    codec = codec_of(name)
    ends = sorted((codec.control.coarsest, codec.control.finest))
    if not ends[0] <= value <= ends[1]:
        raise OptionError(f"{text!r}: the settings of {name} are {ends[0]:g} … {ends[1]:g}")
    return Goal(codec=codec, setting=value)
