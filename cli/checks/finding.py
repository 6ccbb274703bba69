"""What a check says."""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict


class Verdict(StrEnum):
    """How it is."""

    OK = "ok"
    WARN = "warn"
    """It works, but something will not, or not for long."""
    FAIL = "fail"


class Finding(BaseModel):
    """One thing that was checked. ``remedy``: what to do, where it is not ok."""

    model_config = ConfigDict(frozen=True)

    part: str
    verdict: Verdict
    detail: str
    remedy: str = ""


def ok(part: str, detail: str) -> Finding:
    """All is well."""
    return Finding(part=part, verdict=Verdict.OK, detail=detail)


def warn(part: str, detail: str, remedy: str) -> Finding:
    """Somebody should look at it."""
    return Finding(part=part, verdict=Verdict.WARN, detail=detail, remedy=remedy)


def fail(part: str, detail: str, remedy: str) -> Finding:
    """It cannot work so."""
    return Finding(part=part, verdict=Verdict.FAIL, detail=detail, remedy=remedy)
