"""What a benchmark ran on."""

import hashlib
import importlib.metadata
import json
import os
import platform
from pathlib import Path
from typing import Any

__all__ = ["describe_machine", "machine_id"]

_PACKAGES = ("rnnic", "numpy", "numba", "pillow", "imagecodecs", "av", "bjontegaard", "ssimulacra2")
_CPU_INFO = Path("/proc/cpuinfo")


def _processor() -> str:
    if _CPU_INFO.exists():
        for line in _CPU_INFO.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def describe_machine() -> dict[str, Any]:
    """Return processor, system, Python and the versions of packages; nothing that names the machine."""
    return {
        "processor": _processor(),
        "cpus": os.cpu_count(),
        "architecture": platform.machine(),
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "python": platform.python_version(),
        "packages": {name: found for name in _PACKAGES if (found := _version(name)) is not None},
    }


def machine_id(machine: dict[str, Any]) -> str:
    """Return eight digits that stand for a machine's description."""
    return hashlib.sha256(json.dumps(machine, sort_keys=True).encode()).hexdigest()[:8]
