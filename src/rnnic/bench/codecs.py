"""Codecs behind one interface: what `rnnic bench` compares.

A codec has one number that sets its quality, a ladder of values of it, and `encode` and `decode` on one
thread. It is there when the library it needs is.
"""

import contextlib
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from rnnic.errors import MissingDependencyError, OptionError, RnnicError

__all__ = ["Codec", "Control", "available", "codec_of", "missing", "registry"]

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Control:
    """The number that sets a codec's quality.

    Parameters
    ----------
    coarsest, finest : float
        Values of the least and the greatest quality; either may be the greater number.
    integer : bool
        Whether only whole numbers have a meaning.
    logarithmic : bool
        Whether PSNR is nearly linear in the number's logarithm, not in the number.
    """

    coarsest: float
    finest: float
    integer: bool = False
    logarithmic: bool = False


class Codec(ABC):
    """A codec at fixed options, all but its quality.

    Attributes
    ----------
    name : str
        Short name, as users type it.
    label : str
        Name for people.
    description : str
        Options and what else one must know to repeat a measurement.
    control : Control
        What sets the quality.
    ladder : tuple of float
        Settings from coarse to fine for curves.
    takes_grey : bool
        Whether grey images are coded as such; else they are coded as RGB.
    own : bool
        Whether it is a method of RNNIC.
    """

    name: ClassVar[str]
    label: ClassVar[str]
    description: ClassVar[str]
    control: ClassVar[Control]
    ladder: ClassVar[tuple[float, ...]]
    takes_grey: ClassVar[bool] = True
    own: ClassVar[bool] = False

    @abstractmethod
    def version(self) -> str:
        """Return name and version of the library.

        Raises
        ------
        MissingDependencyError
            If it is not installed or lacks the codec.
        """

    @abstractmethod
    def _encode(self, pixels: Pixels, setting: float) -> bytes:
        """Encode what the codec takes."""

    @abstractmethod
    def _decode(self, data: bytes) -> Pixels:
        """Decode, whatever number of channels comes out."""

    def encode(self, pixels: Pixels, setting: float) -> bytes:
        """Compress an image on one thread.

        Parameters
        ----------
        pixels : uint8 (H, W) or (H, W, 3)
        setting : float
            A value of `control`.

        Raises
        ------
        RnnicError
            If the library cannot encode this image; the message names the codec.
        """
        if pixels.ndim == 2 and not self.takes_grey:
            pixels = np.repeat(pixels[:, :, None], 3, axis=2)
        with self._naming("encode"):
            return self._encode(np.ascontiguousarray(pixels), setting)

    def decode(self, data: bytes, *, grey: bool = False) -> Pixels:
        """Return the image of a file that `encode` made, on one thread.

        Parameters
        ----------
        data : bytes
        grey : bool
            Whether a grey image was encoded.

        Returns
        -------
        uint8 (H, W) if grey, else (H, W, 3)

        Raises
        ------
        RnnicError
            If the library cannot decode it; the message names the codec.
        """
        with self._naming("decode"):
            pixels = self._decode(data)
        if grey and pixels.ndim == 3:
            mean = pixels.mean(axis=2, dtype=np.float32)
            rounded: Pixels = np.rint(mean).astype(np.uint8)
            return rounded
        return pixels

    @contextlib.contextmanager
    def _naming(self, work: str) -> Iterator[None]:
        try:
            yield
        except MemoryError:
            raise
        except Exception as error:  # each library has exceptions of its own
            reason = " ".join(str(error).split()) or type(error).__name__
            raise RnnicError(f"{self.name} cannot {work} this image: {reason}") from error


class _Own(Codec):
    """A method of RNNIC."""

    own = True
    options: ClassVar[Mapping[str, Any]]
    option: ClassVar[str]

    def version(self) -> str:
        import rnnic

        model = hashlib.sha256(rnnic.default_model().to_bytes()).hexdigest()
        return f"rnnic {rnnic.__version__}, model {model[:8]}"

    def _encode(self, pixels: Pixels, setting: float) -> bytes:
        import rnnic

        options: dict[str, Any] = {**self.options, self.option: float(setting)}
        return rnnic.encode(pixels, threads=1, **options)

    def _decode(self, data: bytes) -> Pixels:
        import rnnic

        pixels: Pixels = rnnic.decode(data, threads=1)
        return pixels


class Raster(_Own):
    """Method raster."""

    name = "raster"
    label = "RNNIC raster"
    description = "method raster; setting: error threshold"
    options: ClassVar = {"method": "raster"}
    option = "error_threshold"
    control = Control(442, 0)
    ladder = (64, 40, 26, 17, 11, 7, 4.5, 2.5)


class _Pyramid(_Own):
    option = "step"
    control = Control(128, 0.25, logarithmic=True)
    ladder = (90, 50, 28, 16, 9, 5, 2.8, 1.6)


class Pyramid1(_Pyramid):
    """Method pyramid, fastest."""

    name = "pyramid-1"
    label = "RNNIC pyramid 1"
    description = "method pyramid, effort 1; setting: step"
    options: ClassVar = {"method": "pyramid", "effort": 1}


class Pyramid5(_Pyramid):
    """Method pyramid, the default."""

    name = "pyramid-5"
    label = "RNNIC pyramid 5"
    description = "method pyramid, effort 5 (the default); setting: step"
    options: ClassVar = {"method": "pyramid", "effort": 5}


class Pyramid9(_Pyramid):
    """Method pyramid, smallest files."""

    name = "pyramid-9"
    label = "RNNIC pyramid 9"
    description = "method pyramid, effort 9; setting: step"
    options: ClassVar = {"method": "pyramid", "effort": 9}


def registry() -> dict[str, Codec]:
    """Return every codec by name, installed or not, in the order of tables."""
    from rnnic.bench.hevc import Hevc
    from rnnic.bench.peers import PEERS

    kinds: tuple[type[Codec], ...] = (Pyramid9, Pyramid5, Pyramid1, Raster, Hevc, *PEERS)
    return {kind.name: kind() for kind in kinds}


def codec_of(name: str) -> Codec:
    """Return an installed codec.

    Raises
    ------
    OptionError
        If the name is not known.
    MissingDependencyError
        If its library is missing.
    """
    known = registry()
    if name not in known:
        raise OptionError(f"no codec {name!r}; there is {', '.join(known)}")
    codec = known[name]
    try:
        codec.version()
    except MissingDependencyError as error:
        raise MissingDependencyError(f"codec {name}: {error}") from error
    return codec


def available(names: Iterable[str] = ()) -> list[Codec]:
    """Return codecs: those named, which must be installed; or all that are.

    Raises
    ------
    OptionError, MissingDependencyError
        As `codec_of`.
    """
    wanted = list(dict.fromkeys(names))
    if wanted:
        return [codec_of(name) for name in wanted]
    absent = missing()
    return [codec for codec in registry().values() if codec.name not in absent]


def missing() -> dict[str, str]:
    """Return why codecs are not available, by name."""
    found = {}
    for codec in registry().values():
        try:
            codec.version()
        except MissingDependencyError as error:
            found[codec.name] = str(error)
    return found
