"""``rnnic palette``."""

import json
from typing import Any

import click

from rnnic.cli.common import compile_notice, naming, overwrite_option, progress_bar

__all__ = ["palette"]


@click.group()
def palette() -> None:
    """Train a model from photos, or show what is in one."""


@palette.command()
@click.argument("photo_dir", type=click.Path())
@click.option("-o", "--output", required=True, type=click.Path(), help="The model file to write.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--draws", type=click.IntRange(1), help="Strings drawn for each palette.")
@click.option("--window", type=click.IntRange(8), help="Side of the windows that are counted in.")
@click.option("--windows", type=click.IntRange(1), help="Number of such windows.")
@click.option("--spread", metavar="NAME", help="grid, poisson, random or kmeans.  [default: grid]")
@click.option(
    "--methods",
    default="raster,pyramid",
    show_default=True,
    metavar="NAMES",
    help="What the model is to serve.",
)
@click.option("--source", default="", metavar="TEXT", help="Where the photos are from; kept in it.")
@click.option(
    "--checkpoints",
    type=click.Path(file_okay=False),
    metavar="DIR",
    help="Keep finished stages there; the same command goes on from them.",
)
@click.option(
    "--jobs",
    type=click.IntRange(1),
    metavar="N",
    help="Photos at once.  [default: one a CPU, at most 8]",
)
@click.option(
    "--scheduler",
    metavar="ADDRESS",
    help="Work on a Dask cluster: tcp://HOST:PORT, or local, which starts one here.",
)
@overwrite_option
def train(
    photo_dir: str,
    output: str,
    source: str,
    methods: str,
    checkpoints: str | None,
    jobs: int | None,
    scheduler: str | None,
    overwrite: bool,
    **settings: int | str | None,
) -> None:
    """Train a model on all photos in PHOTO_DIR and the folders in it.

    PHOTO_DIR is a folder or a URL of one. The same photos, seed and settings give the same file, with any
    number of jobs and on a cluster.
    """
    from pathlib import Path

    from rnnic.mapping import mapper_for
    from rnnic.output import atomic_output, check_output
    from rnnic.parallel import thread_count
    from rnnic.photos import PhotoFolder, without_pillows_warnings
    from rnnic.raster.training import RasterSettings
    from rnnic.training import check_methods, train_model

    check_output(output, overwrite=overwrite)
    chosen: dict[str, Any] = {name: value for name, value in settings.items() if value is not None}
    wanted = RasterSettings(**chosen)
    named = methods.split(",")
    check_methods(named)
    folder = None if checkpoints is None else Path(checkpoints)

    def warn(line: str) -> None:
        click.echo(f"rnnic: {line}", err=True)

    with (
        naming(photo_dir),
        compile_notice(),
        without_pillows_warnings(),
        mapper_for(photo_dir, thread_count(jobs), scheduler) as mapper,
    ):
        photos = PhotoFolder(photo_dir, warn, mapper)
        with progress_bar() as progress:
            model = train_model(photos, wanted, source, progress, named, folder, mapper)
    data = model.to_bytes()
    with atomic_output(output, overwrite=overwrite) as file:
        file.write(data)
    click.echo(
        f"{output}: {len(data)} bytes, from {len(photos)} photos, seed {wanted.seed}",
        err=output == "-",
    )


@palette.command()
@click.argument("model", type=click.Path(), required=False)
@click.option("--png", type=click.Path(), help="Draw the palettes there.")
@click.option("--grey", is_flag=True, help="Draw the palettes for grey images, not those for RGB.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@overwrite_option
def show(model: str | None, png: str | None, grey: bool, as_json: bool, overwrite: bool) -> None:
    """Say what is in MODEL (the one shipped where none is named)."""
    from rnnic.model import Model, default_model
    from rnnic.output import check_output
    from rnnic.raster.model import SECTION, RasterModel

    if png is not None:
        check_output(png, overwrite=overwrite)
    name = "default model" if model is None else model
    opened = default_model() if model is None else Model.load(model)
    with naming(name):
        raster = (
            RasterModel.from_bytes(opened.sections[SECTION]) if SECTION in opened.sections else None
        )
    found: dict[str, Any] = {
        "model": name,
        "bytes": len(opened.to_bytes()),
        "sections": {
            kind: {"bytes": len(payload), "id": opened.section_id(kind).hex()}
            for kind, payload in opened.sections.items()
        },
        "info": dict(opened.info),
    }
    if raster is not None:
        found["raster"] = {
            title: {
                "palettes": dict(zip(_NAMES, part.sizes, strict=True)),
                "classes": part.classes,
            }
            for title, part in (("grey", raster.grey), ("rgb", raster.rgb))
        }
    click.echo(json.dumps(found) if as_json else _text(found))
    if png is None:
        return

    import numpy as np

    from rnnic.errors import RnnicError
    from rnnic.figures import palette_picture
    from rnnic.files import save_image

    if raster is None:
        raise RnnicError(f"{name}: has no section {SECTION} to draw")
    part = raster.grey if grey else raster.rgb
    caption = f"{name}: palettes for {'grey' if grey else 'RGB'} images"
    picture = palette_picture(part.palettes, _NAMES, part.channels, caption)
    save_image(png, np.asarray(picture), overwrite=overwrite)


_NAMES = ("strings of 4", "strings of 2", "small palette", "large palette")


def _text(found: dict[str, Any]) -> str:
    lines = [f"{found['model']}, {found['bytes']} bytes"]
    lines += [
        f"section {kind}: {section['bytes']} bytes, id {section['id']}"
        for kind, section in found["sections"].items()
    ]
    for title, part in found.get("raster", {}).items():
        sizes = ", ".join(f"{name} {count}" for name, count in part["palettes"].items())
        lines.append(f"{title}: entries of {sizes}; {part['classes']} classes")
    lines += [f"{key}: {json.dumps(value)}" for key, value in found["info"].items()]
    return "\n".join(lines)
