"""Libraries that only some features need."""

import importlib
from typing import Any

from rnnic.errors import MissingDependencyError

__all__ = ["lacking", "require"]


def require(module: str, library: str, extra: str = "bench") -> Any:
    """Return a module of a library that an extra of the package brings.

    Raises
    ------
    MissingDependencyError
        If it is not installed; the message names the library and the extra.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingDependencyError(
            f"{library} is not installed: pip install 'rnnic[{extra}]'"
        ) from error


def lacking(library: str, what: str) -> MissingDependencyError:
    """Return the error of a library that is installed without a part that is needed."""
    return MissingDependencyError(
        f"this build of {library} has no {what}; the wheels that pip install 'rnnic[bench]' gets have"
    )
