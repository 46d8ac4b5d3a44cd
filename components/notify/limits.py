"""What notify accepts; pure, so that a launcher can refuse a bad value before anything starts."""

import re

from components.errors import UsageError

_FORM = re.compile(r"(https?://[^\s/?#]+\S*|env:[A-Za-z_][A-Za-z0-9_]*)?", re.ASCII)


def check(*, notify_webhook: str) -> None:
    """Raises UsageError for anything but an http(s) address, env:NAME or nothing; never repeats it."""
    if not _FORM.fullmatch(notify_webhook):
        raise UsageError("notify_webhook: must be https://…, env:NAME of a variable that holds it, or empty")
