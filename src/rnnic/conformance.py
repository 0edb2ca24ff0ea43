"""Checks a decoder against the conformance set: ``python -m rnnic.conformance --decoder CMD``.

The set is a folder of small files that together use every feature and limit of SPEC.md, with
``manifest.json``: for each valid file its size and the CRC-32 of its samples, for each damaged one the
class of error.
"""

import json
import re
import shlex
import subprocess
import sys
import tempfile
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt

import rnnic
from rnnic.errors import FormatError, OptionError, RnnicError

__all__ = ["Check", "Outcome", "checks_of", "conformance", "read_samples", "run_check"]

Samples = npt.NDArray[Any]  # uint8 or uint16
_DEFAULT_SECONDS = 60.0
_PNM_CHANNELS = {b"P5": 1, b"P6": 3}


@dataclass(frozen=True)
class Check:
    """A file, how to decode it, and what that must come to.

    Parameters
    ----------
    file : Path
    uses : str
        What of the format the file is there for.
    expected : dict
        ``error``, or ``crc32``; of the whole image also ``width``, ``height``, ``channels`` and
        ``bit_depth``.
    whole : tuple of int
        Width and height of the image, 1 and 1 of a damaged one.
    reduce : int
    region : list of int or None
    """

    file: Path
    uses: str
    expected: dict[str, Any]
    whole: tuple[int, int]
    reduce: int = 0
    region: list[int] | None = None

    @property
    def name(self) -> str:
        """The file's name and the options."""
        parts = [self.file.stem]
        if self.region is not None:
            parts.append("region " + ",".join(map(str, self.region)))
        if self.reduce:
            parts.append(f"reduce {self.reduce}")
        return ", ".join(parts)


@dataclass(frozen=True)
class Outcome:
    """What a check came to; `fault` is empty where it is right."""

    check: Check
    fault: str


def checks_of(folder: Path) -> list[Check]:
    """Read the manifest of a set.

    Raises
    ------
    OptionError
        If there is none.
    """
    path = folder / "manifest.json"
    if not path.is_file():
        raise OptionError(
            f"{folder} has no manifest.json; the set is in tests/conformance of the sources,"
            " give its path with --files"
        )
    found = []
    for entry in json.loads(path.read_text())["cases"]:
        file, uses = folder / entry["file"], entry["uses"]
        expected = {k: v for k, v in entry.items() if k not in {"file", "uses", "parts"}}
        whole = (entry.get("width", 1), entry.get("height", 1))
        found.append(Check(file, uses, expected, whole))
        for part in entry.get("parts", ()):
            options = {key: value for key, value in part.items() if key != "crc32"}
            found.append(
                Check(file, uses, {"crc32": part["crc32"]}, whole=found[-1].whole, **options)
            )
    return found


def _pnm(data: bytes) -> Samples:
    """Read a PGM, PPM or PAM file."""
    if data[:2] == b"P7":
        match = re.match(rb"P7\n(.*?)ENDHDR\n", data, re.DOTALL)
        if match is None:
            raise FormatError("a PAM file without ENDHDR")
        fields = dict(line.split(None, 1) for line in match[1].splitlines())
        names = (b"WIDTH", b"HEIGHT", b"DEPTH", b"MAXVAL")
        width, height, channels, most = (int(fields[name]) for name in names)
    else:
        match = re.match(rb"P[56]\s+(\d+)\s+(\d+)\s+(\d+)\s", data)
        if match is None:
            raise FormatError("a damaged PGM or PPM file")
        width, height, most = map(int, match.groups())
        channels = _PNM_CHANNELS[data[:2]]
    kind = np.dtype(np.uint8 if most == 255 else ">u2")
    wanted = width * height * channels * kind.itemsize
    if len(data) - match.end() != wanted:
        raise FormatError(f"{len(data) - match.end()} bytes of samples, {wanted} are due")
    samples = np.frombuffer(data, kind, offset=match.end())
    return samples.reshape(height, width, channels).astype(kind.newbyteorder("="))


def _png(path: Path) -> Samples:
    """Read a PNG file; 16 bits of colour need imagecodecs, for Pillow cuts them."""
    from rnnic.files import load_image

    pixels = load_image(str(path)).pixels
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


def read_samples(path: Path) -> Samples:
    """Read what a decoder wrote: PGM, PPM, PAM or PNG, as an array (H, W, c).

    Raises
    ------
    FormatError
        If it is none of these, or damaged.
    """
    data = path.read_bytes()
    if data[:2] in {b"P5", b"P6", b"P7"}:
        return _pnm(data)
    if data[:4] == b"\x89PNG":
        return _png(path)
    raise FormatError("the output is no PGM, PPM, PAM or PNG file; use --raw for plain samples")


def _crc(data: bytes) -> str:
    return f"{zlib.crc32(data):08x}"


def _fault_of_pixels(path: Path, expected: dict[str, Any], *, raw: bool) -> str:
    """Return what is wrong with a decoder's output."""
    if not path.is_file():
        return "no output was written"
    if raw:
        found = _crc(path.read_bytes())
    else:
        try:
            samples = read_samples(path)
        except RnnicError as error:
            return str(error)
        if "width" in expected:
            wanted = tuple(expected[key] for key in ("height", "width", "channels", "bit_depth"))
            shape = (*samples.shape, 8 * samples.itemsize)
            if shape != wanted:
                return f"height, width, channels, bits are {shape}, not {wanted}"
        found = _crc(samples.astype(samples.dtype.newbyteorder("<")).tobytes())
    return "" if found == expected["crc32"] else f"CRC-32 {found}, not {expected['crc32']}"


def _command(template: Sequence[str], check: Check, out: Path) -> list[str]:
    """Return a command line for a check."""
    model = Path(rnnic.__file__).parent / "models" / "default.rnnm"
    region = check.region or (0, 0, *check.whole)
    values = {
        "{in}": str(check.file.resolve()),
        "{out}": str(out),
        "{model}": str(model),
        "{reduce}": str(check.reduce),
        "{region}": ",".join(map(str, region)),
    }
    words = []
    for word in template:
        for key, value in values.items():
            word = word.replace(key, value)
        words.append(word)
    return words if any("{in}" in word for word in template) else [*words, values["{in}"], str(out)]


def run_check(
    check: Check,
    decoder: Sequence[str],
    *,
    raw: bool = False,
    any_error: bool = False,
    seconds: float = _DEFAULT_SECONDS,
) -> Outcome:
    """Run a decoder on one file.

    Parameters
    ----------
    check : Check
    decoder : sequence of str
        A command, as :func:`conformance` describes it, cut into words.
    raw : bool
        It writes plain samples.
    any_error : bool
        The class of an error does not matter.
    seconds : float
        It may take so long.
    """
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / ("out.raw" if raw else "out.pam")
        try:
            result = subprocess.run(  # noqa: S603
                _command(decoder, check, out), capture_output=True, timeout=seconds, check=False
            )
        except subprocess.TimeoutExpired:
            return Outcome(check, f"not done after {seconds:g} s")
        said = result.stderr.decode(errors="replace").strip()
        wanted = check.expected.get("error")
        if wanted is None:
            if result.returncode:
                return Outcome(check, f"exit code {result.returncode}: {said[-200:]}")
            return Outcome(check, _fault_of_pixels(out, check.expected, raw=raw))
        if result.returncode == 0:
            return Outcome(check, f"was decoded; {wanted} is due")
        if result.returncode < 0:
            return Outcome(check, f"was ended by signal {-result.returncode}")
        if any_error or re.search(rf"\b{wanted}\b", said):
            return Outcome(check, "")
        return Outcome(check, f"{wanted} is due: {said[-200:] or 'nothing was said'}")


def _run_here(check: Check) -> Outcome:
    """Run this package's decoder on one file, in this process."""
    wanted = check.expected.get("error")
    try:
        pixels = rnnic.decode(check.file.read_bytes(), region=check.region, reduce=check.reduce)
    except RnnicError as error:
        name = type(error).__name__
        return Outcome(check, "" if name == wanted else f"{name}: {error}")
    if wanted is not None:
        return Outcome(check, f"was decoded; {wanted} is due")
    found = _crc(pixels.astype(pixels.dtype.newbyteorder("<")).tobytes())
    expected = check.expected["crc32"]
    return Outcome(check, "" if found == expected else f"CRC-32 {found}, not {expected}")


def _default_files() -> Path:
    return Path(rnnic.__file__).parent.parent.parent / "tests" / "conformance"


def _table(outcomes: Sequence[Outcome], *, verbose: bool) -> None:
    """Print failures, and how many checks of each kind passed."""
    width = max(len(outcome.check.name) for outcome in outcomes)
    for outcome in outcomes:
        if outcome.fault or verbose:
            state = "FAIL" if outcome.fault else "ok"
            note = outcome.fault or outcome.check.uses
            click.echo(f"{state:<4}  {outcome.check.name:<{width}}  {' '.join(note.split())}")
    kinds: Counter[str] = Counter()
    right: Counter[str] = Counter()
    for outcome in outcomes:
        kind = "damaged files" if "error" in outcome.check.expected else "whole images"
        if outcome.check.reduce or outcome.check.region:
            kind = "parts and reduced sizes"
        kinds[kind] += 1
        right[kind] += not outcome.fault
    for kind, count in kinds.items():
        click.echo(f"{kind:<24} {right[kind]:>4} of {count} right")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--decoder", metavar="CMD", help="The decoder.  [default: this package's]")
@click.option("--files", type=click.Path(path_type=Path), metavar="DIR", help="The set.")
@click.option(
    "--raw", is_flag=True, help="CMD writes samples row by row, 16 bits lower byte first."
)
@click.option("--any-error", is_flag=True, help="Do not ask for the classes of errors.")
@click.option("--only", metavar="TEXT", default="", help="Files with TEXT in their names.")
@click.option("--seconds", type=float, default=_DEFAULT_SECONDS, help="That CMD may take a file.")
@click.option("-v", "--verbose", is_flag=True, help="Print what is right too.")
def conformance(
    decoder: str | None,
    files: Path | None,
    raw: bool,
    any_error: bool,
    only: str,
    seconds: float,
    verbose: bool,
) -> None:
    """Check a decoder of RNNIC files.

    CMD is run once a file, with IN and OUT appended, or in the places of {in} and {out}; {model} stands
    for the path of the model file. It writes OUT, a PGM, PPM, PAM or PNG file, and ends with code 0; or,
    where the file must be refused, prints a line with the class of the error (FormatError,
    TruncatedError, ChecksumError, LimitError, ModelMissingError) on standard error and ends with another
    code. Where CMD has {reduce} and {region} (X,Y,W,H), parts and reduced sizes are checked too.

    The exit code is 1 if anything is wrong.
    """
    try:
        checks = [check for check in checks_of(files or _default_files()) if only in check.name]
    except OptionError as error:
        raise click.UsageError(str(error)) from error
    run: Callable[[Check], Outcome]
    if decoder is None:
        run = _run_here
    else:
        words = shlex.split(decoder)
        for key, used in (("{reduce}", "reduce"), ("{region}", "region")):
            if key not in decoder:
                checks = [check for check in checks if not getattr(check, used)]

        def run(check: Check) -> Outcome:
            return run_check(check, words, raw=raw, any_error=any_error, seconds=seconds)

    if not checks:
        raise click.UsageError("no file is to be checked")
    outcomes = [run(check) for check in checks]
    _table(outcomes, verbose=verbose)
    sys.exit(any(outcome.fault for outcome in outcomes))


if __name__ == "__main__":
    conformance(prog_name="python -m rnnic.conformance")
