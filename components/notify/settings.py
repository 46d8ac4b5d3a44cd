"""What notify can be told."""

import dataclasses
import re

from components.errors import UsageError
from components.notify.webhook import is_address
from components.parameters import Parameters, Text, parameter

VARIABLE = re.compile(r"env:([A-Za-z_][A-Za-z0-9_]*)", re.ASCII)
FORMS = "https://…, env:NAME of a variable that holds it, or empty"


def _check(field: str, value: str) -> None:
    """Refuses other forms and never repeats them: an address can be a secret."""
    if value and not VARIABLE.fullmatch(value) and not is_address(value):
        raise UsageError(f"{field}: must be {FORMS}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(Parameters):
    """Who is told how a run ended."""

    notify_webhook: str = parameter(
        Text(FORMS, _check),
        "Address that is told how the run ended, or env:NAME of a variable that holds it; empty for none.",
        "",
    )
