"""The exceptions that RNNIC raises on purpose.

Every one of them is a :class:`ValueError` whose message is one line that
names what is wrong, the limit or the file involved, and the remedy.
"""


class RnnicError(ValueError):
    """Base class of all errors that RNNIC raises on purpose."""


class FormatError(RnnicError):
    """The data is not a valid RNNIC file, or uses a feature this version lacks."""


class TruncatedError(FormatError):
    """The data ends before the file does."""


class ChecksumError(FormatError):
    """A chunk's CRC-32 does not match its content: the file is damaged."""


class ModelMissingError(RnnicError):
    """The model that a file was compressed with is not installed."""


class LimitError(RnnicError):
    """The data asks for more than a stated limit allows."""


class UnsupportedImageError(RnnicError):
    """The image's shape, type or colour model cannot be compressed."""


class OptionError(RnnicError):
    """An option has no meaning, is out of its range, or contradicts another."""


class MissingDependencyError(RnnicError, ImportError):
    """An optional package is needed; the message says how to install it."""
