"""The pages hold: their examples run, the site builds, and the API page leaves nothing out."""

import doctest
import importlib
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
import pytest
from checks import photo_like
from click.testing import CliRunner
from PIL import Image

import rnnic
from rnnic.cli import command_line
from rnnic.pyramid.decoder import decode_tile
from rnnic.pyramid.encoder import encode_tile
from rnnic.pyramid.format import Pass
from rnnic.pyramid.model import PyramidModel

HERE = Path(__file__).parent.parent
PAGES = [HERE / "README.md", *sorted((HERE / "docs").glob("*.md"))]
RUN = {"compress", "decompress", "info", "batch", "demo"}
"""Commands that take little time; of the others it is checked that their options exist."""


class Block(NamedTuple):
    """An example on a page."""

    language: str
    line: int
    code: str


def blocks(page: Path) -> list[Block]:
    """Return the examples of a page that are meant to be run."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(found[1], text.count("\n", 0, found.start(2)), found[2])
        for found in re.finditer(
            r"^```(python|console|sh)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE
        )
    ]


def commands(code: str) -> Iterator[list[str]]:
    """Yield the arguments of every call of rnnic in a block of shell."""
    for line in code.splitlines():
        words = shlex.split(line, comments=True)
        if words[:1] == ["rnnic"]:
            yield words[1:]


def check_options(arguments: list[str]) -> None:
    """Check that the commands and options there are known; nothing is run."""
    command: click.Command = command_line
    with click.Context(command_line) as context:
        while isinstance(command, click.Group):
            _, found, arguments = command.resolve_command(context, arguments)
            assert found is not None
            command = found
        command.make_context(command.name, list(arguments), parent=context)


def run_python(page: Path, block: Block, names: dict[str, Any]) -> None:
    """Run an example; skip the page if it needs a library that is not installed."""
    code = compile("\n" * block.line + block.code, str(page), "exec")
    try:
        exec(code, names)
    except rnnic.MissingDependencyError as error:
        pytest.skip(str(error))
    except ModuleNotFoundError as error:
        if str(error.name).startswith("rnnic"):
            raise
        pytest.skip(str(error))


@pytest.mark.slow
@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p)], ids=lambda p: p.stem)
def test_examples_run(
    page: Path, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "PHOTOS").mkdir()
    with Image.open(photo) as image:
        crop = image.crop((400, 60, 656, 316))
    crop.save(tmp_path / "photo.png")
    crop.save(tmp_path / "PHOTOS" / "one.png")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": page.stem}
    for block in blocks(page):
        if block.language == "python":
            run_python(page, block, names)
            continue
        for arguments in commands(block.code):
            if arguments[0] in RUN:
                result = CliRunner().invoke(command_line, arguments)
                assert result.exit_code == 0, f"rnnic {shlex.join(arguments)}: {result.output}"
            else:
                check_options(arguments)


MODULES = sorted(
    path for path in (HERE / "src" / "rnnic").rglob("*.py") if ">>> " in path.read_text("utf-8")
)


@pytest.mark.slow
@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.stem)
def test_examples_in_docstrings_run(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    name = ".".join(path.relative_to(HERE / "src").with_suffix("").parts)
    try:
        module = importlib.import_module(name.removesuffix(".__init__"))
    except rnnic.MissingDependencyError as error:
        pytest.skip(str(error))
    result = doctest.testmod(module)
    assert result.attempted
    assert not result.failed


def test_unknown_options_are_found() -> None:
    check_options(["bench", "curve", "photos", "-o", "x.json"])
    with pytest.raises(click.UsageError):
        check_options(["bench", "curve", "photos", "--no-such-option"])


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(
        r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE
    )
    for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", text):
        assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_api_page_is_complete() -> None:
    text = (HERE / "docs" / "api.md").read_text(encoding="utf-8")
    for name in rnnic.__all__:
        assert re.search(rf"^\.\. auto\w+:: rnnic\.{name}(\(\))?$", text, re.MULTILINE), name


def test_pictures_are_there_and_small() -> None:
    drawn = re.findall(
        r', "([\w-]+\.png)"\)', (HERE / "docs" / "figures.py").read_text(encoding="utf-8")
    )
    assert len(drawn) == 7
    for name in drawn:
        assert (HERE / "docs" / "images" / name).stat().st_size < 120_000


def test_extras_are_all_described() -> None:
    project = tomllib.loads((HERE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    text = (HERE / "docs" / "install.md").read_text(encoding="utf-8")
    rows = " ".join(re.findall(r"^\| (.*?) \|", text, re.MULTILINE))
    assert set(re.findall(r"`(\w+)`", rows)) == set(project["optional-dependencies"])


@pytest.mark.slow
def test_sizes_in_the_tutorial_hold(photo: Path) -> None:
    text = (HERE / "docs" / "tutorial.md").read_text(encoding="utf-8")
    found = re.search(
        r"^\*`target_psnr` of ([\d, and]+) dB: ([\d, and]+) bytes", text, re.MULTILINE
    )
    assert found is not None
    targets, sizes = (re.split(r", | and ", part) for part in found.groups())
    with Image.open(photo) as image:
        pixels = np.asarray(image)
    for target, size in list(zip(targets, sizes, strict=True))[1:]:
        told = int(size.replace(",", ""))
        assert len(rnnic.encode(pixels, target_psnr=float(target))) == pytest.approx(told, rel=0.01)


@pytest.mark.slow
def test_every_ablation_decodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(HERE / "docs")
    ablations = importlib.import_module("ablations")
    model = PyramidModel.from_bytes(rnnic.default_model().sections["PYRA"])
    image = photo_like(48, 64)
    for variant in (*ablations.VARIANTS, *ablations.EFFORTS):
        for data, tile, params, rebuilt in ablations.coded(image, variant, model, 6.0):
            found = decode_tile(data, tile.shape[1], tile.shape[0], params, model)
            np.testing.assert_array_equal(found, rebuilt)


@pytest.mark.slow
def test_figures_show_what_is_coded(photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.syspath_prepend(HERE / "docs")
    figures = importlib.import_module("figures_pyramid")
    with Image.open(photo) as image:
        pixels = np.asarray(image.crop((450, 100, 578, 228)))
    found, total = figures.bytes_of_passes(pixels, 8.0)
    assert sorted(found) == list(range(14))
    assert 0.8 * total < sum(found.values()) < total
    model, params = figures.shared_model(), figures.parameters(8.0)
    tables = model.rgb
    assert (tables.luma_classes, tables.chroma_classes) == (20, 11)  # as the page says
    counts = np.zeros((2 * (tables.classes + tables.contexts), 512), np.int64)
    seen = counts.copy()

    def sink(done: Pass, state: dict[str, Any]) -> None:
        used = (counts - seen)[: 2 * tables.classes].sum(axis=1)
        seen[:] = counts
        coded = used.reshape(2, tables.luma_classes, -1).sum(axis=(0, 2))
        shown = figures.luma_classes(model, done, state, model.band(params.step))
        drawn = np.bincount(shown.ravel(), minlength=tables.luma_classes)
        # The figure is computed in floating point, so a pair may be in the class beside its own.
        assert np.abs(drawn - coded).sum() <= 0.05 * shown.size

    encode_tile(pixels, params, model, tune=False, counts=counts, sink=sink)
    assert seen.any()


@pytest.mark.slow
def test_site_builds_without_warnings(tmp_path: Path) -> None:
    pytest.importorskip("furo")
    pytest.importorskip("sphinx_click")
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-W",
        "-E",
        "-q",
        "-b",
        "html",
        "-d",
        str(tmp_path / "trees"),
    ]
    built = subprocess.run(
        [*command, str(HERE / "docs"), str(tmp_path / "site")],
        check=False,
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr
    # Sphinx has pages of its own, which silently take the place of ours that have the same name.
    pages = {page.stem for page in (HERE / "docs").glob("*.md")}
    assert not pages & {"search", "genindex", "py-modindex"}
    assert all((tmp_path / "site" / f"{page}.html").exists() for page in pages)
