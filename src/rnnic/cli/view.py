"""``rnnic view``."""

import click

from rnnic.cli.common import naming

__all__ = ["view"]


@click.command()
@click.argument("files", type=click.Path(), nargs=-1, required=True)
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="0: any that is free.")
@click.option("--no-browser", is_flag=True, help="Only print the address.")
def view(files: tuple[str, ...], port: int, no_browser: bool) -> None:
    """Show FILES in the browser, decoded there, until interrupted.

    Nothing but these files and the page is served, and to this machine alone.
    """
    import webbrowser

    from rnnic.api import info
    from rnnic.viewer import ViewerServer

    for file in files:
        with naming(file):
            info(file)
    with ViewerServer(files, port) as server:
        click.echo(f"{server.url}  (Ctrl-C ends it)")
        if not no_browser:
            webbrowser.open(server.url)
        server.serve_forever()
