"""What the documentation shows is so: definitions are valid, commands exist, links lead somewhere."""

import re
import shlex

import pytest
from typer.main import get_command

from cli.main import app
from composition import describe_actions
from config import Settings
from control.drafts import read_draft
from domain.documents import parse_document
from tests.docs.pages import PAGES, PROJECT, blocks

YAML = dict(blocks("yaml"))
SHELL = dict(blocks("sh"))


def _definition(text):
    """A whole definition; a list of steps stands for one with an open input."""
    value = parse_document(text.encode(), form="yaml").value
    return {"name": "example", "steps": value} if isinstance(value, list) else value


@pytest.mark.parametrize(
    "place", [place for place, text in YAML.items() if re.search(r"^(- |steps:)", text, re.MULTILINE)]
)
def test_every_definition_that_is_shown_can_be_published(place):
    draft = read_draft(_definition(YAML[place]))
    assert list(draft.check(describe_actions(Settings()), {"lead_to_customer_onboarding"}, None)) == []


def _commands(program):
    for place, text in SHELL.items():
        for line in text.replace("\\\n", " ").splitlines():
            if line.startswith(f"{program} "):
                yield place, line


@pytest.mark.parametrize(("place", "line"), [*_commands("stepwell")])
def test_every_stepwell_command_that_is_shown_exists(place, line):
    words = shlex.split(line, comments=True)[1:]
    command = get_command(app)
    while hasattr(command, "resolve_command") and words and not words[0].startswith("-"):
        _, command, words = command.resolve_command(None, words)
        assert command is not None, place
    known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
    assert {word for word in words if re.match(r"--?[a-z]", word)} <= known


@pytest.mark.parametrize(("place", "line"), [*_commands("make")])
def test_every_target_of_make_that_is_shown_exists(place, line):
    targets = re.findall(r"^([a-z]+):.*## ", (PROJECT / "Makefile").read_text(), re.MULTILINE)
    assert line.split()[1] in targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_every_link_leads_to_a_file_that_is_there(page):
    for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target
