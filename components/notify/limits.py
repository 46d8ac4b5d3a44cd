"""What notify accepts; pure, so that a launcher can refuse a bad value before anything starts."""

import re

from components.errors import UsageError
from components.notify.webhook import is_address

VARIABLE = re.compile(r"env:([A-Za-z_][A-Za-z0-9_]*)", re.ASCII)


def check(*, notify_webhook: str) -> None:
    """Raises UsageError for anything but an http(s) address, env:NAME or nothing; never repeats it."""
    if notify_webhook and not VARIABLE.fullmatch(notify_webhook) and not is_address(notify_webhook):
        raise UsageError("notify_webhook: must be https://…, env:NAME of a variable that holds it, or empty")
