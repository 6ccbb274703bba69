"""A small program that becomes another one: drops root first, and dies with its parent.

Run as ``python -I -S spawn.py PARENT_PID DEATH_SIGNAL USER CAPABILITY COMMAND…`` where USER is ``uid:gid`` or ``-``,
and CAPABILITY the number of the one Linux capability to keep over the change of user, or ``-``. It stands alone (no
imports from the project), so that a server starts in milliseconds.
"""

import ctypes
import os
import sys

_PR_SET_PDEATHSIG = 1
_PR_SET_SECUREBITS = 28
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_NO_SETUID_FIXUP = 1 << 2
_CAPABILITY_VERSION_3 = 0x20080522


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Data(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _become(user: str, capability: str) -> None:
    uid, gid = (int(part) for part in user.split(":"))
    if capability != "-":
        # Keeps capabilities over setuid, and lets access(2) honour them, which Postgres asks about its own files.
        _check(_libc().prctl(_PR_SET_SECUREBITS, _NO_SETUID_FIXUP, 0, 0, 0))
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    if capability != "-":
        _keep_only(int(capability))


def _keep_only(capability: int) -> None:
    mask = 1 << capability
    data = (_Data * 2)(_Data(mask, mask, mask), _Data(0, 0, 0))
    _check(_libc().capset(ctypes.byref(_Header(_CAPABILITY_VERSION_3, 0)), data))
    _check(_libc().prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability, 0, 0))


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def main(parent: str, death_signal: str, user: str, capability: str, *command: str) -> None:
    """Become ``command``."""
    if user != "-":
        _become(user, capability)
    if sys.platform == "linux":
        _check(_libc().prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0))
        if os.getppid() != int(parent):  # it died before it could be watched
            raise SystemExit(1)
    os.execv(command[0], command)  # noqa: S606  # the command is ours


if __name__ == "__main__":
    main(*sys.argv[1:])
