"""Measurements that need a process of their own."""

import json
import subprocess
import sys
from typing import Any

__all__ = ["run_task"]


def run_task(
    module: str, task: dict[str, Any], timeout: float | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a module as a script that reads a task as JSON and writes its result so.

    Raises
    ------
    subprocess.TimeoutExpired
        If that takes more than `timeout` seconds.
    """
    return subprocess.run(  # noqa: S603  one of our own modules
        [sys.executable, "-m", module],
        input=json.dumps(task),
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
    )
