"""The environment variables that tasks read and that a caller may set for them, and what each may hold.

Whatever is set here stands in compiled YAML, in `docker inspect` and on the platform's pages: no secret may.
"""

import re
from collections.abc import Mapping

from components.registry.reading import MIN_SERVING_VARIABLE
from components.storage.gcs_client import EMULATOR, EMULATOR_OPT_IN
from components.storage.opening import DEADLINE_VARIABLE

_ADDRESS = (
    r"https?://[^\s/?#@]+[^\s?#@]*",
    "an http:// or https:// address without user and password: a secret would be there for all to read",
)
# Name: a pattern, and what it wants in words.
_KNOWN = {
    DEADLINE_VARIABLE: (r"[1-9]\d{0,3}", "whole seconds from 1 to 9999"),
    "GOOGLE_CLOUD_PROJECT": (r"[a-z][a-z0-9-]{4,28}[a-z0-9]", "a Google Cloud project id"),
    "HTTP_PROXY": _ADDRESS,
    "HTTPS_PROXY": _ADDRESS,
    MIN_SERVING_VARIABLE: (r"[1-9]\d{0,18}", "a whole number from 1, below which no champion is taken"),
    "NO_PROXY": (r"[A-Za-z0-9.:/*,_-]+", "hosts and domains, parted by commas"),
    EMULATOR: _ADDRESS,
    EMULATOR_OPT_IN: (r"1", f"1, for a {EMULATOR} that is not a loopback address"),
    "TF_CPP_MIN_LOG_LEVEL": (r"[0-3]", "0 to 3"),
}
NAMES = frozenset(_KNOWN)


def checked(variables: Mapping[str, str]) -> dict[str, str]:
    """Returns the variables with their names in upper case.

    Raises:
      ValueError: a name that tasks do not read, or a value that it cannot have.
    """
    found = {name.upper(): value for name, value in variables.items()}
    for name, value in found.items():
        if name not in _KNOWN:
            raise ValueError(f"{name}: is none that may be set; known: {', '.join(sorted(_KNOWN))}")
        pattern, description = _KNOWN[name]
        if not re.fullmatch(pattern, value):
            raise ValueError(f"{name}: must be {description}")
    return found
