"""imageio's plugin: after ``import rnnic.integrations.imageio``, imageio reads and writes ``.rnnic`` files.

>>> import imageio.v3 as iio, numpy as np
>>> import rnnic.integrations.imageio
>>> data = iio.imwrite("<bytes>", np.zeros((3, 4), np.uint8), extension=".rnnic")
>>> iio.imread(data, extension=".rnnic").shape
(3, 4)
"""

from collections.abc import Iterator, Sequence
from types import EllipsisType
from typing import Any

import numpy as np
import numpy.typing as npt

import rnnic
from rnnic.container import SIGNATURE
from rnnic.errors import MissingDependencyError, OptionError, RnnicError, UnsupportedImageError
from rnnic.integrations.common import (
    EXTENSION,
    METADATA_OPTIONS,
    info_of,
    metadata_of,
    read_head,
)

try:
    from imageio.config import FileExtension, PluginConfig, known_plugins
    from imageio.config.extensions import extension_list, known_extensions
    from imageio.core.request import URI_BYTES, InitializationError, IOMode, Request
    from imageio.core.v3_plugin_api import ImageProperties, PluginV3
except ImportError as error:
    raise MissingDependencyError(
        "imageio is not installed: pip install 'rnnic[imageio]'"
    ) from error

__all__ = ["RnnicPlugin", "register"]

PLUGIN = "rnnic"
Index = int | EllipsisType | None


def _check_index(index: Index) -> None:
    """Check that an index names the only image of a file, or all of them (``...``).

    Raises
    ------
    IndexError
        If it does not.
    """
    if index not in (0, None, Ellipsis):
        raise IndexError(f"index {index} of a file with one image; it must be 0, None or ...")


class RnnicPlugin(PluginV3):
    """Reads and writes one image of uint8 or uint16, grey or RGB, with or without alpha.

    Parameters
    ----------
    request : imageio.core.Request
        What to read or write.

    Raises
    ------
    InitializationError
        If it is not an RNNIC file, or to be written with another extension.
    OSError
        If the head of the file is damaged; the cause is the :class:`rnnic.RnnicError`.
    """

    def __init__(self, request: Request) -> None:
        super().__init__(request)
        if request.mode.io_mode == IOMode.write:
            if request.extension != EXTENSION:
                raise InitializationError(f"rnnic writes {EXTENSION}, not {request.extension}")
            return
        file = request.get_file()
        start = file.tell()
        if file.read(len(SIGNATURE)) != SIGNATURE:
            raise InitializationError("not an RNNIC file")
        file.seek(start)
        try:
            self._header, self._metadata = read_head(file)
        except RnnicError as error:
            raise OSError(str(error)) from error
        file.seek(start)
        self._start = start

    def read(
        self,
        *,
        index: Index = None,
        region: Sequence[int] | None = None,
        reduce: int = 0,
        threads: int | None = None,
    ) -> npt.NDArray[Any]:
        """Return the image.

        Parameters
        ----------
        index : int, optional
            0; with ``...`` the array has another, first axis of length 1.
        region, reduce, threads
            As :func:`rnnic.decode` takes them.

        Returns
        -------
        uint8 or uint16 (H, W) or (H, W, c)
            As :func:`rnnic.decode` gives it; not turned by an orientation tag.

        Raises
        ------
        IndexError
            If `index` names another image.
        OptionError
            If `region`, `reduce` or `threads` is out of its range.
        OSError
            If the file is damaged or cut off; the cause is the :class:`rnnic.RnnicError`.
        """
        _check_index(index)
        file = self.request.get_file()
        file.seek(self._start)
        try:
            image = rnnic.decode(file.read(), region=region, reduce=reduce, threads=threads)
        except OptionError:
            raise
        except RnnicError as error:
            raise OSError(str(error)) from error
        return image[None] if index is Ellipsis else image

    def iter(self, **options: Any) -> Iterator[npt.NDArray[Any]]:
        """Yield the one image; options are those of :meth:`read`."""
        yield self.read(**options)

    def write(
        self,
        ndimage: npt.ArrayLike | list[npt.ArrayLike],
        *,
        is_batch: bool = False,
        **options: Any,
    ) -> bytes | None:
        """Write an image.

        Parameters
        ----------
        ndimage : uint8 or uint16 (H, W) or (H, W, c), or a list or batch of one such image
            As :func:`rnnic.encode` takes it.
        is_batch : bool
            Whether the first axis counts images.
        **options
            Those of :class:`rnnic.EncodeOptions`, and ``icc_profile``, ``exif``, ``xmp``, ``dpi``, ``text``.

        Returns
        -------
        bytes or None
            The file, where the target is ``"<bytes>"``.

        Raises
        ------
        UnsupportedImageError, OptionError
            As :func:`rnnic.encode`; also where there is more than one image. Nothing is written then.
        """
        if is_batch or isinstance(ndimage, list) or np.ndim(ndimage) == 4:
            images = list(ndimage) if isinstance(ndimage, list) else list(np.asarray(ndimage))
            if len(images) != 1:
                raise UnsupportedImageError(f"{len(images)} images; an RNNIC file holds one")
            (image,) = images
        else:
            image = ndimage
        metadata = metadata_of({name: options.pop(name, None) for name in METADATA_OPTIONS})
        data = rnnic.encode(np.asarray(image), metadata=metadata, **options)
        self.request.get_file().write(data)
        return data if self.request._uri_type == URI_BYTES else None

    def metadata(
        self,
        index: Index = None,
        exclude_applied: bool = True,  # noqa: ARG002  # nothing of it is applied
    ) -> dict[str, Any]:
        """Return the metadata under the names that Pillow has for it, without decoding."""
        _check_index(index)
        return info_of(self._metadata)

    def properties(self, index: Index = None) -> ImageProperties:
        """Return shape and type of what :meth:`read` gives for an index, without decoding."""
        _check_index(index)
        header, batch = self._header, index is Ellipsis
        shape: tuple[int, ...] = (header.height, header.width)
        if header.channels > 1:
            shape += (header.channels,)
        return ImageProperties(
            shape=(1, *shape) if batch else shape,
            dtype=np.dtype(header.dtype),
            n_images=1 if batch else None,
            is_batch=batch,
            spacing=info_of(self._metadata).get("dpi"),
        )


def register() -> None:
    """Tell imageio of the format; importing the module has done so, and doing it again changes nothing."""
    if PLUGIN in known_plugins:
        return
    known_plugins[PLUGIN] = PluginConfig(
        name=PLUGIN, class_name=RnnicPlugin.__name__, module_name=__name__
    )
    extension = FileExtension(
        extension=EXTENSION,
        priority=[PLUGIN],
        name="Random Nearest Neighbor Image Compression",
    )
    extension_list.append(extension)
    known_extensions.setdefault(EXTENSION, []).append(extension)


register()
