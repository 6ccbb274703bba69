"""The walks name files and symbols that exist."""

import ast
import re

import pytest

from tests.docs.pages import PROJECT

TEXT = (PROJECT / "docs" / "walks.md").read_text()
FILES = sorted(set(re.findall(r"`([\w/]+\.py)`", TEXT)))
SYMBOLS = sorted(
    {
        (file, name)
        for file, names in re.findall(r"`([\w/]+\.py)`,?\s+\(?((?:`[\w.]+`(?:, )?)+)", TEXT)
        for name in re.findall(r"`([\w.]+)`", names)
    }
)


@pytest.mark.parametrize("file", FILES)
def test_every_file_that_is_named_exists(file):
    assert (PROJECT / file).is_file()


@pytest.mark.parametrize(("file", "symbol"), SYMBOLS)
def test_every_symbol_that_is_named_is_in_its_file(file, symbol):
    scope: ast.AST = ast.parse((PROJECT / file).read_text())
    for part in symbol.split("."):
        found = [node for node in ast.iter_child_nodes(scope) if part in _names(node)]
        assert found, f"{file} has no {symbol}"
        scope = found[0]


def test_the_walks_name_enough_to_follow_them():
    assert len(SYMBOLS) > 30


def _names(node):
    match node:
        case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            return {name}
        case ast.Assign(targets=targets):
            return {target.id for target in targets if isinstance(target, ast.Name)}
        case _:
            return set()
