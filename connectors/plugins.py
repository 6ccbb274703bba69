"""Connectors that other packages bring along.

A package declares them in its metadata; the target is a callable without parameters that returns a ``Connector``:

    [project.entry-points."stepwell.connectors"]
    weather = "weather_stepwell:connector"
"""

from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points
from typing import Final

from domain.actions import Connector
from domain.errors import ConnectorError, ErrorCode

GROUP: Final = "stepwell.connectors"


def plugins(entries: Iterable[EntryPoint] | None = None) -> list[Connector]:
    """The connectors of all installed plug-ins, by name.

    Raises ``ConnectorError(CONFIG_INVALID)`` naming the entry point that cannot be loaded or returns something else.
    An error inside a plug-in's own code passes through, with a note that says whose it is.
    """
    found = entry_points(group=GROUP) if entries is None else entries
    return [_connector(entry) for entry in sorted(found, key=lambda entry: entry.name)]


def _connector(entry: EntryPoint) -> Connector:
    try:
        connector = entry.load()()
    except (ImportError, AttributeError, TypeError) as error:
        raise _invalid(entry, f"cannot be loaded: {error}") from error
    except BaseException as error:
        error.add_note(f"while loading the plug-in {entry.name} ({entry.value}) of {GROUP}")
        raise
    if not isinstance(connector, Connector):
        raise _invalid(entry, f"must return a Connector, not {type(connector).__name__}")
    return connector


def _invalid(entry: EntryPoint, why: str) -> ConnectorError:
    return ConnectorError(ErrorCode.CONFIG_INVALID, f"the plug-in {entry.name} ({entry.value}) of {GROUP} {why}")
