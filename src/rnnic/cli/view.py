"""``rnnic view``."""

import contextlib
from pathlib import Path

import click

from rnnic.cli.common import naming

__all__ = ["view"]


@click.command()
@click.argument("files", type=click.Path(), nargs=-1)
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="0: any that is free.")
@click.option("--no-browser", is_flag=True, help="Only print the address.")
def view(files: tuple[str, ...], port: int, no_browser: bool) -> None:
    """Show FILES in the browser, decoded there, until interrupted.

    Without FILES the page offers samples, and opens what is dropped on it.
    Pictures of other formats among FILES can be compared with. Nothing but these files and the page is
    served, and to this machine alone.
    """
    import webbrowser

    from rnnic.api import info
    from rnnic.errors import OptionError
    from rnnic.viewer import ViewerServer, is_picture

    for file in files:
        with naming(file):
            if is_picture(file):
                Path(file).stat()
            else:
                info(file)
    try:
        made = ViewerServer(files, port)
    except OSError as error:
        raise OptionError(
            f"port {port} cannot be had ({error.strerror}); choose another, or none for a free one"
        ) from error
    with made as server:
        click.echo(f"{server.url}  (Ctrl-C ends it)")
        if not no_browser and not webbrowser.open(server.url):
            click.echo("rnnic: no browser was found; open the address above in one", err=True)
        with contextlib.suppress(KeyboardInterrupt):  # the way to end it
            server.serve_forever()
