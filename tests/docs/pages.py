"""The pages of the documentation, and what is quoted in them."""

import re
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).parents[2]
PAGES = [PROJECT / "README.md", PROJECT / "CHANGELOG.md", *sorted((PROJECT / "docs").rglob("*.md"))]


def blocks(language: str) -> Iterator[tuple[str, str]]:
    """The code blocks in a language: where they stand (page and line), and their text."""
    for page in PAGES:
        text = page.read_text()
        for found in re.finditer(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            line = text[: found.start()].count("\n") + 1
            yield f"{page.relative_to(PROJECT)}:{line}", found[1]


def section(page: Path, heading: str) -> str:
    """What stands under a heading, up to the next one."""
    return page.read_text().split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
