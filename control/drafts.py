"""Drafts: documents on their way to being published, and what is wrong with them, by the author's own lines."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from domain.actions import ActionInfo
from domain.checks import check_definition
from domain.definition import Definition
from domain.dialects import ParsedDefinition, read_what_can_be
from domain.documents import MAX_FAULTS, Document, parse_document
from domain.errors import DefinitionInvalid, Fault

SUFFIXES = frozenset({".yaml", ".yml", ".json"})
"""Files of a directory that hold definitions."""

NOT_DEFINITIONS = frozenset({"schema.json"})
"""Files of a directory that do not, although they look so."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A document that was read: ``parsed`` is None when its ``faults`` kept it from being understood.

    ``rest`` is what could be understood all the same, for the checks.
    """

    document: Document
    parsed: ParsedDefinition | None = None
    faults: Sequence[Fault] = field(default_factory=list)
    rest: ParsedDefinition | None = None

    @property
    def name(self) -> str | None:
        """The process that it defines, as far as that can be understood."""
        understood = self.parsed or self.rest
        return None if understood is None else understood.definition.name or None

    @property
    def source(self) -> Any:
        """The document as it was written; None where that is the definition's body."""
        same = self.parsed is not None and self.document.value == self.parsed.definition.body
        return None if same else self.document.value

    def definition(self) -> Definition:
        """What was understood. Raises ``DefinitionInvalid`` if nothing was."""
        if self.parsed is None:
            raise invalid(self.faults)
        return self.parsed.definition

    def check(
        self, actions: Mapping[str, ActionInfo], processes: Collection[str], secrets: Collection[str] | None
    ) -> list[Fault]:
        """Everything that is wrong with it in a deployment with these actions, processes and secrets (None: any)."""
        understood = self.parsed or self.rest
        if understood is None:
            return [*self.faults]
        found = check_definition(
            understood.definition,
            actions=actions,
            processes=processes,
            secrets=secrets,
            origins=understood.origins,
        )
        return _joined(self.faults, self.document.locate(found))


def read_draft(document: object) -> Draft:
    """Read ``document``: JSON values in any dialect, or a ``Document``, whose faults come with their lines."""
    given = document if isinstance(document, Document) else Document(document)  # type: ignore[arg-type]  # checked next
    reading = read_what_can_be(given.value)
    if reading.faults:
        return Draft(given, faults=given.locate(reading.faults), rest=reading.parsed)
    return Draft(given, reading.parsed)


def read_directory(path: Path) -> list[Draft]:
    """Read the definitions of a directory, by file name. Two of the same name are a fault of the second."""
    return read_files(definition_files(path))


def definition_files(path: Path) -> list[Path]:
    """The files of a directory that hold definitions, by name."""
    return [file for file in sorted(path.iterdir()) if file.suffix in SUFFIXES and file.name not in NOT_DEFINITIONS]


def read_files(paths: Iterable[Path]) -> list[Draft]:
    """Read definitions, a file each. Two of the same name are a fault of the second."""
    drafts: list[Draft] = []
    files: dict[str, str] = {}
    for file in paths:
        draft = _read_file(file)
        name = draft.name
        if name in files:
            fault = Fault(
                path="/name", reason=f"{files[name]} has a process {name!r} too", remedy="give it another name"
            )
            told = [*draft.faults, *draft.document.locate([fault])]
            draft = Draft(draft.document, faults=told, rest=draft.parsed or draft.rest)
        elif name is not None:
            files[name] = file.name
        drafts.append(draft)
    return drafts


def invalid(faults: Sequence[Fault]) -> DefinitionInvalid:
    """The refusal of a definition with these faults."""
    return DefinitionInvalid("the definition is invalid", faults)


def _joined(*faults: Sequence[Fault]) -> list[Fault]:
    """All of these once, in the order of the document's paths: a hundred at most."""
    distinct = {(fault.path, fault.reason): fault for each in faults for fault in each}
    return sorted(distinct.values(), key=lambda fault: _order(fault.path))[:MAX_FAULTS]


def _order(pointer: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in pointer.split("/")]


def _read_file(file: Path) -> Draft:
    try:
        return read_draft(parse_document(file.read_bytes(), file=str(file)))
    except DefinitionInvalid as error:
        return Draft(Document(None, str(file)), faults=error.faults)
