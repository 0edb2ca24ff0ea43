"""A codec for numcodecs, and so for Zarr 2, kerchunk and N5: ``numcodecs.get_codec({"id": "rnnic"})``."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rnnic.errors import MissingDependencyError, OptionError, UnsupportedImageError
from rnnic.integrations.stacks import check_layout, encode_stack, json_options, parse_stack

try:
    from numcodecs.abc import Codec
    from numcodecs.compat import ensure_contiguous_ndarray, ensure_ndarray
except ImportError as error:
    raise MissingDependencyError(
        "numcodecs is not installed: pip install 'rnnic[numcodecs]'"
    ) from error

__all__ = ["Rnnic"]

Array = npt.NDArray[Any]  # uint8 or little-endian uint16

_STORED: dict[str, np.dtype[Any]] = {"uint8": np.dtype("u1"), "uint16": np.dtype("<u2")}


class Rnnic(Codec):  # type: ignore[misc]  # numcodecs has no types
    """Compresses chunks that are images, or stacks of images.

    Parameters
    ----------
    layout : {"auto", "HW", "HWC"}
        What the last axes of a chunk are: rows and columns, or rows, columns and channels. With "auto" a
        last axis of length 1 … 4 is one of channels if there are three axes or more; say "HW" for stacks of
        images of at most 4 columns. All axes before are those of a stack.
    shape : sequence of int, optional
        Shape of the chunks, for callers that pass flat buffers.
    dtype : {"uint8", "uint16"}
        Type of the samples in flat buffers of bytes, two bytes little-endian.
    threads : int, optional
        Tiles and images coded at once; the default is one a CPU, at most 8. No part of the
        configuration, for it is a matter of the machine and not of the data.
    **options
        Those of :class:`rnnic.EncodeOptions` that are JSON values, for every image of a stack:
        ``quality``, ``error_threshold``, ``target_psnr``, ``target_bytes``, ``step``, ``method``,
        ``effort``, ``tile_size``, ``keep_hidden`` and so on. Unlike there, ``keep_hidden`` is True
        unless given, for what is no alpha may be in the last of 2 or 4 channels. ``model``, a path, is needed
        for decoding too.

    Raises
    ------
    OptionError
        If an option is unknown, out of its range, or no JSON value.

    Examples
    --------
    >>> import numpy as np
    >>> codec = Rnnic(error_threshold=0)
    >>> volume = np.arange(6 * 20 * 30, dtype=np.uint16).reshape(6, 20, 30)
    >>> bool((codec.decode(codec.encode(volume)) == volume).all())
    True
    """

    codec_id = "rnnic"

    def __init__(
        self,
        *,
        layout: str = "auto",
        shape: Sequence[int] | None = None,
        dtype: str = "uint8",
        threads: int | None = None,
        **options: Any,
    ) -> None:
        self._layout = check_layout(layout)
        self._shape = None if shape is None else [int(side) for side in shape]
        if dtype not in _STORED:
            raise OptionError(f"dtype is {dtype!r}; it must be {' or '.join(_STORED)}")
        self._dtype = dtype
        self._threads = threads
        self._options = options
        self._checked = json_options({"keep_hidden": True} | options | {"threads": threads})

    def encode(self, buf: Any) -> bytes:
        """Compress a chunk.

        Parameters
        ----------
        buf : uint8 or uint16 (..., H, W) or (..., H, W, c)
            c is 1 … 4. Samples of 16 bits must be little-endian and arrays in row-major order, as
            what decodes a chunk is not told how it was; other order is refused. Where `shape` was given, any
            contiguous buffer of that many samples.

        Returns
        -------
        bytes
            One image: an RNNIC file. A stack: a frame of RNNIC files, see
            :mod:`rnnic.integrations.stacks`.

        Raises
        ------
        UnsupportedImageError
            If it is anything else.
        LimitError
            If it has more than 2**28 pixels.
        """
        array = self._array(buf)
        if array.dtype == np.dtype(">u2"):
            raise UnsupportedImageError("big-endian samples; convert them with astype('<u2')")
        if array.flags.f_contiguous and not array.flags.c_contiguous:
            raise UnsupportedImageError(
                "an array in column-major order; give it in row-major order, as"
                " np.ascontiguousarray and Zarr arrays with order='C' do"
            )
        return encode_stack(array, self._layout, self._checked, self._threads)

    def _array(self, buf: Any) -> Array:
        """Return what is to be encoded as an array of two axes or more."""
        try:
            array: Array = ensure_ndarray(buf)
            if array.ndim < 2 and self._shape is not None:
                flat: Array = ensure_contiguous_ndarray(array).view(np.uint8)
                return flat.view(_STORED[self._dtype]).reshape(self._shape)
        except (TypeError, ValueError) as error:
            raise UnsupportedImageError(
                f"no buffer of {self._dtype} samples of shape {self._shape}: {error}"
            ) from error
        if array.ndim < 2:
            raise UnsupportedImageError(
                f"a flat buffer of shape {array.shape}; give the codec the shape of the chunks"
            )
        return array

    def decode(self, buf: Any, out: Any = None) -> Any:
        """Decompress a chunk.

        Parameters
        ----------
        buf : buffer
            What `encode` returned.
        out : writeable buffer, optional
            Receives the samples and is returned; in place if it is contiguous in row-major order.

        Returns
        -------
        uint8 or uint16 (H, W), (H, W, c), (N, H, W) or (N, H, W, c)
            c is 2 … 4. Axes before those of an image are joined to N, an axis of one channel is left out:
            reshape where the shape matters. Samples of 16 bits are little-endian.

        Raises
        ------
        OptionError
            If `out` does not have the size of the image or stack, or is of another type.
        RnnicError
            As :func:`rnnic.decode`.
        """
        data = memoryview(ensure_contiguous_ndarray(buf)).cast("B")
        stack = parse_stack(data)
        stored = _STORED[stack.dtype.name]
        target = None if out is None else _fitted(out, stack.shape, stored)
        direct = target is not None and target.flags.c_contiguous and stored.isnative
        pixels = stack.decode(
            target if direct else None, threads=self._threads, model=self._checked.model
        )
        if target is None:
            return pixels.astype(stored, copy=False)
        if not direct:
            target[...] = pixels
        return out

    def get_config(self) -> dict[str, Any]:
        """Return the configuration: what was given, but for the number of threads."""
        return {"id": self.codec_id} | self._given()

    def _given(self) -> dict[str, Any]:
        """Return the arguments that differ from their defaults, and the options given, by name."""
        found = dict(self._options)
        if self._layout != "auto":
            found["layout"] = self._layout
        if self._shape is not None:
            found |= {"shape": self._shape, "dtype": self._dtype}
        return dict(sorted(found.items()))

    def __repr__(self) -> str:
        return f"Rnnic({', '.join(f'{name}={value!r}' for name, value in self._given().items())})"


def _fitted(out: Any, shape: tuple[int, ...], stored: np.dtype[Any]) -> Array:
    """Return a view of `out` with a shape and type.

    Raises
    ------
    OptionError
        If there is none.
    """
    array: Array = ensure_ndarray(out)
    if array.shape == shape and array.dtype == stored:
        fitted = array
    else:
        size = math.prod(shape) * stored.itemsize
        if array.dtype == object or not array.flags.c_contiguous or array.nbytes != size:
            raise OptionError(
                f"out has {array.nbytes} bytes of type {array.dtype}; {size} contiguous bytes"
                f" for {stored} samples of shape {shape} are needed"
            )
        fitted = array.reshape(-1).view(np.uint8).view(stored).reshape(shape)
    if not fitted.flags.writeable:
        raise OptionError("out is read-only")
    return fitted
