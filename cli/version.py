"""``stepwell version``."""

from importlib.metadata import version

import typer

app = typer.Typer()


@app.command("version")
def print_version() -> None:
    """Print the version."""
    typer.echo(f"stepwell {version('stepwell')}")


@app.callback()
def _group() -> None:
    """Keeps the command's name: an application of one command would have none."""
