"""What notify can be told."""

import dataclasses
import re

from components.errors import UsageError, quoted
from components.notify.webhook import is_address
from components.parameters import Parameters, Text, parameter

RUN = "{run}"
_PAGES = f"https://… with {RUN} in it, or empty"
VARIABLE = re.compile(r"env:([A-Za-z_][A-Za-z0-9_]*)", re.ASCII)
FORMS = "https://…, env:NAME of a variable that holds it, or empty"


def _check(field: str, value: str) -> None:
    """Refuses other forms and never repeats them: an address can be a secret."""
    if value and not VARIABLE.fullmatch(value) and not is_address(value):
        raise UsageError(f"{field}: must be {FORMS}")


def _check_page(field: str, value: str) -> None:
    if value and not (is_address(value) and RUN in value):
        raise UsageError(f"{field}={quoted(value)}: must be {_PAGES}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(Parameters):
    """Who is told how a run ended."""

    notify_webhook: str = parameter(
        Text(FORMS, _check),
        "Address that is told how the run ended, or env:NAME of a variable that holds it; empty for none.",
        "",
    )
    run_page: str = parameter(
        Text(_PAGES, _check_page),
        "Address of a run's page, which is told with how the run ended; {run} stands for its id.",
        "",
    )
