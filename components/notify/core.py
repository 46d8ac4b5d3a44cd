"""notify: how a run ended, in the log and as a JSON POST that Slack understands too."""

import json
import os
import urllib.parse
from typing import Any

from components.notify import webhook
from components.notify.settings import VARIABLE

_SLACK_HOST = "hooks.slack.com"  # refuses fields that it does not know
_ERROR_LIMIT = 500


def notify(*, state: str, run: str, error_message: str, notify_webhook: str) -> bool:
    """Reports a run's end. Whatever is wrong with the webhook is reported, and does not fail the run.

    Args:
      state: SUCCEEDED, FAILED or CANCELLED.
      run: the platform's name for the run.
      error_message: the platform's words about a failure.
      notify_webhook: http(s) address, env:NAME of a variable that holds it, or empty. An address can be a
        secret, so it is never printed.

    Returns:
      Whether a webhook took it.
    """
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
    reason = webhook.post(url, json.dumps(body).encode())
    print(f"notify: the webhook was {f'not told: {reason}' if reason else 'told'}", flush=True)
    return not reason


def _address(notify_webhook: str) -> str:
    """Returns where to post, "" for nowhere; says so where it was meant to be somewhere."""
    variable = VARIABLE.fullmatch(notify_webhook)
    url = os.environ.get(variable[1], "").strip() if variable else notify_webhook
    if webhook.is_address(url):
        return url
    if notify_webhook:
        where = f"the variable {variable[1]}" if variable else "notify_webhook"
        print(f"notify: no webhook was told: {where} holds no address", flush=True)
    return ""
