"""Posts JSON to a webhook whose address is a secret: bounded in time, to nobody else, never in any words.

An address that Slack, Teams or Discord hands out *is* the permission to post, so nothing here repeats it, and
no exception leaves: HTTP libraries quote addresses in their messages.
"""

import http.client
import queue
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

ATTEMPTS = 3
ATTEMPT_SECONDS = 10.0  # of silence, as sockets count it
TOTAL_SECONDS = 45.0  # for all attempts and pauses together, however slowly a receiver drips


def is_address(text: str) -> bool:
    """Says whether `text` is an http(s) address as urllib can ask it: ASCII, a host, a port that is one."""
    try:
        parts = urllib.parse.urlsplit(text)
        host, port = parts.hostname, parts.port  # ValueError unless a number up to 65535
    except ValueError:
        return False
    printable = all("!" <= character <= "~" for character in text)
    # urllib looks `user:password@host` up as a name, and takes the password for a port.
    host_is_plain = bool(host) and port != 0 and "@" not in parts.netloc
    return printable and host_is_plain and parts.scheme in ("http", "https")


def post(url: str, body: bytes, *, seconds: float = TOTAL_SECONDS) -> str:
    """Posts a JSON body, again after a pause while the receiver is silent or asks for later.

    Args:
      url: where to; `is_address` holds for it.
      body: JSON.
      seconds: after which no answer is waited for any more.

    Returns:
      "" once a receiver took it, else why none did, in words that do not hold the address.
    """
    answers: queue.Queue[str] = queue.Queue()
    # A socket's timeout bounds neither a receiver that sends a byte now and then nor a silent resolver.
    # When time is up the thread is left behind; it ends with the process.
    threading.Thread(target=lambda: answers.put(_attempts(url, body)), daemon=True).start()
    try:
        return answers.get(timeout=seconds)
    except queue.Empty:
        return f"it did not answer within {seconds:g} s"


def _attempts(url: str, body: bytes) -> str:
    reason = ""
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(2.0**attempt)
        reason, may_pass = _attempt(url, body)
        if not may_pass:
            break
    return reason


def _attempt(url: str, body: bytes) -> tuple[str, bool]:
    """Returns why it failed, "" if it did not, and whether asking again makes sense."""
    request = urllib.request.Request(url, data=body, headers={"Content-Type": "application/json"})
    try:
        with urllib.request.build_opener(_NoRedirects).open(request, timeout=ATTEMPT_SECONDS):
            return "", False
    except urllib.error.HTTPError as error:
        error.close()
        if 300 <= error.code < 400:
            return f"it answered {error.code}, and redirects are not followed", False
        return f"it answered {error.code}", error.code >= 500 or error.code == http.client.TOO_MANY_REQUESTS
    except Exception as error:  # noqa: BLE001  # whatever it is, it must not fail the run, and its words may hold the address
        cause = getattr(error, "reason", error)  # what urllib has wrapped
        return type(cause if isinstance(cause, Exception) else error).__name__, isinstance(error, OSError)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Follows none: another host would get the message, and a POST that is sent on has lost its body."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Refuses, so that the redirect is an HTTPError."""
