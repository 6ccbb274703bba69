"""Connectors of other packages join by entry point, and a broken one is named."""

from importlib.metadata import EntryPoint

import pytest

from connectors.core import CoreConnector
from connectors.plugins import GROUP, plugins
from domain.errors import ConnectorError, ErrorCode


def broken():
    return 1 / 0


def not_a_connector():
    return "core"


def _entry(value):
    return EntryPoint(name="weather", value=value, group=GROUP)


def test_a_plugin_is_called_and_joins():
    [connector] = plugins([_entry("connectors.core:CoreConnector")])
    assert isinstance(connector, CoreConnector)


@pytest.mark.parametrize(
    "value",
    [
        "no.such.module:x",
        "connectors.core:nothing",
        "connectors.http:HttpConnector",
        "tests.connectors.test_plugins:not_a_connector",
    ],
)
def test_a_plugin_that_cannot_join_is_named(value):
    with pytest.raises(ConnectorError, match="the plug-in weather") as error:
        plugins([_entry(value)])
    assert error.value.code is ErrorCode.CONFIG_INVALID


def test_an_error_inside_a_plugin_says_whose_it_is():
    with pytest.raises(ZeroDivisionError) as error:
        plugins([_entry("tests.connectors.test_plugins:broken")])
    assert "weather" in error.value.__notes__[0]


def test_without_plugins_there_are_none():
    assert plugins() == []
