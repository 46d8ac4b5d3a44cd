"""Takes from this process, for good, what a model has no business with: writing files, opening connections.

A model's graph is checked before it is loaded; this is for what the check may have missed. Linux's Landlock
refuses both (files from 5.13 on, TCP from 6.7 on), to this process and its children, root or not. Where there
is none, a limit on the size of files still keeps every byte out of them.
"""

import ctypes
import resource
import sys

_CREATE_RULESET, _RESTRICT_SELF = (
    444,
    446,
)  # system calls; the same numbers on every machine TensorFlow runs on
_ASK_VERSION = 1
_NO_NEW_PRIVILEGES = 38  # of prctl
# https://docs.kernel.org/userspace-api/landlock.html: writing, removing and making of every kind
_WRITES = 1 << 1 | sum(1 << bit for bit in range(4, 13))
_MOVES, _TRUNCATION = 1 << 13, 1 << 14  # since versions 2 and 3
_TCP = 0b11  # bind and connect, since version 4
_SCOPES = 0b11  # abstract sockets of others and signals to them, since version 6


class _Ruleset(ctypes.Structure):
    """What is refused; each field came with a later version of Landlock."""

    _fields_ = [("files", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64)]


def confine() -> bool:
    """Forbids this thread, and threads and processes that it starts from now on, to change anything outside.

    Call it before anything else starts threads. Open files, and pipes, stay as they are.

    Returns:
      Whether the kernel enforces all of it; False if only bytes are kept out of files.
    """
    for limit in (resource.RLIMIT_FSIZE, resource.RLIMIT_CORE):
        resource.setrlimit(limit, (0, 0))
    return sys.platform == "linux" and _restrict()


def _restrict() -> bool:
    """Lets Landlock refuse what this kernel's version of it can; returns whether that is all."""
    libc = ctypes.CDLL(None, use_errno=True)
    version = libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_ASK_VERSION))
    if version < 1:  # an older kernel, or a container engine that refuses the call
        return False
    files = _WRITES | (_MOVES if version >= 2 else 0) | (_TRUNCATION if version >= 3 else 0)
    ruleset = _Ruleset(files, _TCP if version >= 4 else 0, _SCOPES if version >= 6 else 0)
    size = 8 * (1 + (version >= 4) + (version >= 6))
    descriptor = libc.syscall(
        _CREATE_RULESET, ctypes.byref(ruleset), ctypes.c_size_t(size), ctypes.c_uint32(0)
    )
    if descriptor < 0 or libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) != 0:
        return False
    is_restricted: bool = libc.syscall(_RESTRICT_SELF, descriptor, ctypes.c_uint32(0)) == 0
    return is_restricted and version >= 4
