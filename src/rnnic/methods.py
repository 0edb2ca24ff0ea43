"""The methods of coding pixels, behind one interface.

The API and the container know methods by what is here; a method knows nothing of files.
"""

import functools
import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from rnnic._collector import paused_collector
from rnnic.container import Header, TileBox
from rnnic.errors import FormatError, OptionError
from rnnic.model import Model
from rnnic.options import EncodeOptions

__all__ = [
    "METHOD_NAMES",
    "EncodedTiles",
    "Memory",
    "Method",
    "Photos",
    "TileDecoder",
    "TileTrace",
    "Touch",
    "method_by_code",
    "method_by_name",
]

_REGISTRY = {"pyramid": "rnnic.pyramid.method", "raster": "rnnic.raster.method"}
METHOD_NAMES = tuple(_REGISTRY)

Pixels = npt.NDArray[Any]  # uint8 or uint16
Progress = Callable[[float], None]
TileDecoder = Callable[[memoryview, TileBox, TileBox, Pixels], None]
"""Decodes a payload, given its tile's box in the image, into a box of an array (H, W, c), c without alpha."""


@dataclass(eq=False)
class Memory:
    """What a method keeps of tiles between encodes of the same pixels; what that is, is its own affair.

    Parameters
    ----------
    tiles : dict
        What is kept of each tile.
    usual : optional
        What was kept of a tile of another image like this one.
    sample : bool
        Whether encodes only tell of the other image: they need not be small, and take what suits that, or
        what is found quickly.
    """

    tiles: dict[TileBox, Any] = field(default_factory=dict)
    usual: Any = None
    sample: bool = False

    @property
    def any_tile(self) -> Any:
        """What is kept of a tile in the middle, None if nothing is kept yet."""
        boxes = sorted(self.tiles)
        return self.tiles[boxes[len(boxes) // 2]] if boxes else None


@dataclass(frozen=True, eq=False)
class TileTrace:
    """Which code stands for each pixel of a tile.

    Parameters
    ----------
    x, y : int
        Origin of the tile in the image.
    labels : uint8 (h, w)
        Index into the method's `Method.labels`.
    entries : int32 (h, w)
        Index of the palette entry, -1 where there is none.
    """

    x: int
    y: int
    labels: npt.NDArray[np.uint8]
    entries: npt.NDArray[np.int32]


class Photos(NamedTuple):
    """What photos usually have at some controls, rising: PSNR in dB, and bits per pixel.

    ``grey_psnr`` is that of photos without colours; ``gains`` and ``grey_gains`` are the dB that a trellis
    adds, with colours and without.
    """

    controls: tuple[float, ...]
    psnr: tuple[float, ...]
    bits: tuple[float, ...]
    grey_psnr: tuple[float, ...] = ()
    gains: tuple[float, ...] = ()
    grey_gains: tuple[float, ...] = ()

    def psnr_with(self, channels: int) -> tuple[float, ...]:
        """Return the PSNR of photos of so many channels."""
        return self.grey_psnr if channels < 3 and self.grey_psnr else self.psnr


@dataclass(frozen=True, eq=False)
class EncodedTiles:
    """What a method made of an image: header fields, payloads, and what the decoder will give."""

    parameters: bytes
    payloads: Sequence[bytes]
    reconstruction: Pixels | None
    """None where it was not asked for."""
    trace: Callable[[Sequence[bytes]], list[TileTrace]]
    """Looks at payloads of these tiles."""
    touch: "Touch | None" = None
    """Codes parts anew, where the options have a target and the method can."""
    drawn: bool = False
    """Whether a tile is without loss because it takes fewer bytes so; the control does not matter there."""
    left: bool = False
    """Whether there are parts that `touch` has not coded yet: pixels and payloads are not whole."""


class Touch(ABC):
    """Codes one part of an image after the other anew, with another weight of bits.

    The image gets a little smaller or better so, at the same control.
    """

    parts: int
    """Number of parts; each is spread over the image."""
    biases: list[float]
    """Those that parts were coded with last."""
    strength: float
    """How much coding a whole image anew changes it, as multiple of what its finest pass does."""
    hinting: bool
    """Whether there are `hints`."""
    shares: list[float] | None = None
    """What each part does of what all the image does, where parts have those before in them; else None."""

    @abstractmethod
    def code(self, part: int, bias: float) -> EncodedTiles:
        """Code part 0 … `parts` - 1 with the usual weight of bits times e ** `bias`.

        Returns the image with all parts as they were coded last; one returned before is not changed.
        """

    @abstractmethod
    def places(self, part: int) -> list[TileBox]:
        """Return which pixels a part is about."""

    def hints(self, part: int) -> tuple[float, float]:
        """Return a part's squared errors in the two coarser levels before it, 0 where there are no hints.

        They are known where parts are left, or the effort has no trellis; units are the same in all encodes
        of an image.
        """
        del part
        return 0.0, 0.0

    def deepened(self) -> EncodedTiles | None:
        """Return the image with a touch of `shares`, where there is one; all parts must be coded."""
        return None


class Method(ABC):
    """A way of coding pixels; subclasses hold no state."""

    name: ClassVar[str]
    code: ClassVar[int]
    section: ClassVar[str]
    """Type of the model's section."""
    default_tile_size: ClassVar[int]
    labels: ClassVar[tuple[str, ...]]
    """What the labels of a `TileTrace` mean."""
    can_reduce: ClassVar[bool]
    """Whether a tile can be decoded at a fraction of its size for a fraction of the time."""
    prefix_gives: ClassVar[Literal["coarser levels", "rows above"]]
    """What `prefix_decoder` finds."""
    has_effort: ClassVar[bool]
    """Whether the option ``effort`` means anything."""
    control_resolution: ClassVar[float]
    """Values of it closer than this are as good as the same."""
    photos: ClassVar[Photos]
    """Where the search for a target begins."""

    @abstractmethod
    def control_range(self, bit_depth: int) -> tuple[float, float]:
        """Return the finest and the coarsest value of the one number that sets the quality."""

    @abstractmethod
    def control(self, options: EncodeOptions, bit_depth: int) -> float:
        """Return the number that sets the quality, for options without a target."""

    def best_tile_size(
        self, pixels: Pixels, control: float, model: Model, options: EncodeOptions
    ) -> int:
        """Return the tile size that suits an image (H, W, c) with c = 1 or 3 at about this control."""
        del pixels, control, model, options
        return self.default_tile_size

    @abstractmethod
    def encode(
        self,
        pixels: Pixels,
        boxes: Sequence[TileBox],
        control: float,
        model: Model,
        options: EncodeOptions,
        progress: Progress | None,
        *,
        reconstruct: bool = True,
        in_parts: bool = False,
        memory: Memory | None = None,
    ) -> EncodedTiles:
        """Encode an image (H, W, c) with c = 1 or 3, cut into the tiles given.

        Without `reconstruct` the reconstruction, which takes as much memory as the image, may be left out.
        Encodes given the same `memory`, of the same pixels and tiles, may use what those before found.
        A method that has efforts gives an `EncodedTiles.touch` where the options have a target; `in_parts`
        leaves the parts to it, where they take much of the time.
        """

    @abstractmethod
    def tile_decoder(self, header: Header, model: Model | None, reduce: int) -> TileDecoder:
        """Return the function that decodes the tiles of a file with this header.

        `model` is looked at before the installed ones. With `reduce`, 0 where the method cannot, tiles are
        decoded at 1 / 2**reduce of their size, sides rounded up.
        """

    @abstractmethod
    def prefix_decoder(self, header: Header, model: Model | None, reduce: int) -> TileDecoder:
        """Return the function that decodes what the beginning of a payload, the rest of which is lost, gives.

        It leaves pixels that it knows nothing of as they are; other parameters are those of `tile_decoder`.
        """

    @abstractmethod
    def minimum_bytes(self, box: TileBox) -> int:
        """Return the least number of bytes that a tile's payload can have."""

    @abstractmethod
    def describe(self, header: Header) -> dict[str, Any]:
        """Return the header's parameters by name, in users' units."""


@functools.cache
def method_by_name(name: str) -> Method:
    """Return a method.

    Raises
    ------
    OptionError
        If there is no such method.
    """
    if name not in _REGISTRY:
        raise OptionError(f"no method {name!r}; there is {', '.join(METHOD_NAMES)}")
    with paused_collector():
        method = importlib.import_module(_REGISTRY[name]).METHOD
    assert isinstance(method, Method)
    return method


def method_by_code(code: int) -> Method:
    """Return the method of a file's header.

    Raises
    ------
    FormatError
        If it is not known.
    """
    for method in map(method_by_name, METHOD_NAMES):
        if method.code == code:
            return method
    raise FormatError(
        f"method {code} is not known here; upgrade with `pip install --upgrade rnnic`"
    )
