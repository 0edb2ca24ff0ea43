"""Random Nearest Neighbor Image Compression.

>>> import numpy as np, rnnic
>>> data = rnnic.encode(np.array([[0, 128, 255]], np.uint8), error_threshold=0)
>>> rnnic.decode(data).tolist()
[[0, 128, 255]]
"""

import importlib
from typing import TYPE_CHECKING, Any

from rnnic._collector import paused_collector
from rnnic._version import __version__

if TYPE_CHECKING:
    from rnnic.api import (
        Decoded,
        Encoded,
        FileInfo,
        decode,
        decode_report,
        encode,
        encode_image,
        info,
        read,
        write,
    )
    from rnnic.damage import Damage, DamageWarning, TileDamage
    from rnnic.errors import (
        ChecksumError,
        FormatError,
        LimitError,
        MissingDependencyError,
        ModelMissingError,
        OptionError,
        RnnicError,
        TruncatedError,
        UnsupportedImageError,
    )
    from rnnic.metadata import Metadata
    from rnnic.model import Model, default_model
    from rnnic.options import EncodeOptions

__all__ = [
    "ChecksumError",
    "Damage",
    "DamageWarning",
    "Decoded",
    "EncodeOptions",
    "Encoded",
    "FileInfo",
    "FormatError",
    "LimitError",
    "Metadata",
    "MissingDependencyError",
    "Model",
    "ModelMissingError",
    "OptionError",
    "RnnicError",
    "TileDamage",
    "TruncatedError",
    "UnsupportedImageError",
    "__version__",
    "decode",
    "decode_report",
    "default_model",
    "encode",
    "encode_image",
    "info",
    "read",
    "write",
]

# NumPy and Numba take most of a start's time: what needs them is imported when it is asked for.
_HOMES = {
    "rnnic.api": ("FileInfo", "info", "read", "write"),
    "rnnic.decoding": ("Decoded", "decode", "decode_report"),
    "rnnic.encoding": ("Encoded", "encode", "encode_image"),
    "rnnic.damage": ("Damage", "DamageWarning", "TileDamage"),
    "rnnic.errors": tuple(name for name in __all__ if name.endswith("Error")),
    "rnnic.metadata": ("Metadata",),
    "rnnic.model": ("Model", "default_model"),
    "rnnic.options": ("EncodeOptions",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'rnnic' has no attribute {name!r}")
    # Looking for garbage would take a tenth of a start's time.
    with paused_collector():
        value = getattr(importlib.import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
