"""What pydantic refuses, in the platform's own words."""

from collections.abc import Iterable

from pydantic_core import ErrorDetails

from domain.documents import json_pointer
from domain.errors import Fault


def faults_of(errors: Iterable[ErrorDetails], *, skip: int = 0) -> list[Fault]:
    """What pydantic found wrong, as faults; never with the values, which may be secret.

    ``skip``: how many parts at the front of each location are not of the document.
    """
    return [
        Fault(path=json_pointer(error["loc"][skip:]), reason=error["msg"].removeprefix("Value error, "))
        for error in errors
    ]
