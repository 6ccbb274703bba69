"""Who may do what: permissions, and the roles that grant them."""

from collections.abc import Collection, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Permission(StrEnum):
    """What a route may ask for."""

    EXECUTE = "workflow:execute"
    VIEW = "workflow:view"
    CREATE = "workflow:create"
    UPDATE = "workflow:update"
    DELETE = "workflow:delete"
    READ_PAYLOAD = "run:read_payload"
    """See the inputs and outputs of runs and their steps."""
    SECRET_VIEW = "secret:view"  # noqa: S105  # a permission's name
    """See which secrets there are. Nobody can read their values."""
    SECRET_WRITE = "secret:write"  # noqa: S105  # likewise
    MANAGE_USERS = "user:manage"
    MANAGE_WATCHES = "watch:manage"
    """Choose the tables whose changes become events."""


class Role(StrEnum):
    """What a user or an API key may be."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    EDITOR = "editor"
    APPROVER = "approver"
    ADMIN = "admin"


_VIEWER = frozenset({Permission.VIEW})
_APPROVER = _VIEWER | {Permission.READ_PAYLOAD}
_OPERATOR = _APPROVER | {Permission.EXECUTE}
_EDITOR = _OPERATOR | {Permission.CREATE, Permission.UPDATE, Permission.DELETE, Permission.SECRET_VIEW}

GRANTS: Final[Mapping[Role, frozenset[Permission]]] = MappingProxyType(
    {
        Role.VIEWER: _VIEWER,
        Role.OPERATOR: _OPERATOR,
        Role.EDITOR: _EDITOR,
        Role.APPROVER: _APPROVER,
        Role.ADMIN: frozenset(Permission),
    }
)
"""The permissions of each role."""


def permissions_of(roles: Collection[str]) -> frozenset[Permission]:
    """What these roles grant together. A role that is not known grants nothing."""
    return frozenset().union(*(GRANTS[role] for role in Role if role in roles))
