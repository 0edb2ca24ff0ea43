"""Set everything up and run: ``python3 run.py demo [IMAGE]`` or ``python3 run.py test``.

Needs Python 3.11 or later and nothing else. Makes the virtual environment ``.venv`` beside this file,
installs the package into it, and runs

- ``demo``: compresses a photo, decodes the file again, checks it, and reports;
- ``test``: the test suite, with every search library that can be installed here;
- ``lint``: ruff and mypy.
"""

import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
ENVIRONMENT = HERE / ".venv"
PHOTO = HERE / "examples" / "kodim23.png"
NEEDED = (3, 11)
# Libraries that come as source: without a compiler their tests are skipped.
OPTIONAL = ("annoy", "hnswlib")
# All tests run in several processes, one for each core.
IN_PROCESSES = ["-n", "auto", "--maxprocesses", "4", "--dist", "worksteal"]


def python() -> Path:
    """Return the environment's interpreter; make the environment if it is not there."""
    folder = "Scripts" if os.name == "nt" else "bin"
    path = ENVIRONMENT / folder / ("python.exe" if os.name == "nt" else "python")
    if not path.exists():
        print(f"making {ENVIRONMENT}", flush=True)
        venv.create(ENVIRONMENT, with_pip=True)
    return path


def install(extra: str) -> Path:
    """Install the package with an extra, unless it is installed like this already."""
    interpreter = python()
    state = hashlib.sha256((HERE / "pyproject.toml").read_bytes()).hexdigest()
    stamp = ENVIRONMENT / f"installed-{extra or 'core'}"
    if stamp.exists() and stamp.read_text() == state:
        return interpreter
    pip = [str(interpreter), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    pip.append("--editable")
    print(f"installing rnnic{f'[{extra}]' if extra else ''}", flush=True)
    subprocess.run([*pip, f"{HERE}[{extra}]" if extra else str(HERE)], check=True)
    if extra == "dev":
        for name in OPTIONAL:
            tried = subprocess.run(
                [*pip, f"{HERE}[{name}]"], check=False, capture_output=True, text=True
            )
            if tried.returncode:
                print(f"{name} cannot be installed here; its tests are skipped", flush=True)
    stamp.write_text(state)
    return interpreter


def main(arguments: list[str]) -> int:
    """Run one of the commands; return its exit code."""
    if sys.version_info < NEEDED:
        print(
            f"Python {NEEDED[0]}.{NEEDED[1]} or later is needed, this is {sys.version.split()[0]}"
        )
        return 2
    command, *rest = arguments or ["help"]
    if command == "demo":
        interpreter = install("")
        lines = [["-m", "rnnic", "demo", *(rest or [str(PHOTO)])]]
    elif command == "test":
        interpreter = install("dev")
        lines = [["-m", "pytest", *(rest or IN_PROCESSES)]]
    elif command == "lint":
        interpreter = install("dev")
        lines = [["-m", "ruff", "check"], ["-m", "ruff", "format", "--check"], ["-m", "mypy"]]
    else:
        print(__doc__)
        return 0 if command in ("help", "-h", "--help") else 2
    failed = 0
    for line in lines:
        failed |= subprocess.run([str(interpreter), *line], cwd=HERE, check=False).returncode
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
