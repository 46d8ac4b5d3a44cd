"""notify: how a run ended, in the log and as a JSON POST that Slack understands too."""

import json
import os
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from components.notify import limits

ATTEMPTS = 3
TIMEOUT_SECONDS = 10.0
_SLACK_HOST = "hooks.slack.com"  # refuses fields that it does not know
_ERROR_LIMIT = 500


def notify(*, state: str, run: str, error_message: str, notify_webhook: str) -> bool:
    """Reports a run's end. A webhook that fails is reported and does not fail the run.

    Args:
      state: SUCCEEDED, FAILED or CANCELLED.
      run: the platform's name for the run.
      error_message: the platform's words about a failure.
      notify_webhook: http(s) address, env:NAME of a variable that holds it, or empty. An address can be a
        secret, so it is never printed.

    Returns:
      Whether a webhook took it.

    Raises:
      UsageError: `notify_webhook` has another form.
    """
    limits.check(notify_webhook=notify_webhook)
    text = f"mnist-pipeline {run}: {state}"
    if error_message and state != "SUCCEEDED":
        text += f": {' '.join(error_message.split())[:_ERROR_LIMIT]}"
    print(f"notify: {text}", flush=True)
    url = _address(notify_webhook)
    if not url:
        return False
    body: dict[str, Any] = {"text": text}
    if urllib.parse.urlsplit(url).hostname != _SLACK_HOST:
        body |= {
            "pipeline": "mnist-pipeline",
            "run": run,
            "state": state,
            "error": error_message[:_ERROR_LIMIT],
        }
    return _post(url, json.dumps(body).encode())


def _address(notify_webhook: str) -> str:
    if not notify_webhook.startswith("env:"):
        return notify_webhook
    name = notify_webhook.removeprefix("env:")
    url = os.environ.get(name, "").strip()
    if not url.startswith(("http://", "https://")):
        print(f"notify: no webhook was told: the variable {name} holds no address", flush=True)
        return ""
    return url


def _post(url: str, body: bytes) -> bool:
    """Posts, again after a pause while the receiver is silent or asks for later; says what became of it."""
    request = urllib.request.Request(url, data=body, headers={"Content-Type": "application/json"})
    reason = ""
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(2.0**attempt)
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS):
                print("notify: the webhook was told", flush=True)
                return True
        except urllib.error.HTTPError as error:
            error.close()
            reason = f"it answered {error.code}"
            if error.code < 500 and error.code != 429:
                break
        except (OSError, ValueError) as error:
            reason = type(error).__name__  # its words may hold the address
    print(f"notify: the webhook was not told: {reason}", flush=True)
    return False
