"""notify: how a run ended and what came of it, in the log and as a JSON POST that Slack understands too."""

import dataclasses
import json
import os
import urllib.parse
from typing import Any

from components.errors import PipelineError
from components.notify import message, webhook
from components.notify.settings import RUN, VARIABLE
from components.registry import conclusions
from components.registry.conclusions import Conclusion

_SLACK_HOST = "hooks.slack.com"  # refuses fields that it does not know
_ERROR_LIMIT = 500


def notify(
    *,
    state: str,
    run: str,
    run_id: str,
    error_message: str,
    bucket_uri: str,
    notify_webhook: str,
    run_page: str,
) -> bool:
    """Reports a run's end. Whatever is wrong with the bucket or the webhook is reported, and fails nothing.

    Args:
      state: SUCCEEDED, FAILED or CANCELLED; any other says nothing of how the run ended.
      run: the platform's name for the run.
      run_id: its id, under which lookup, evaluate and export left what it came to.
      error_message: the platform's words about a failure.
      bucket_uri: where they left it.
      notify_webhook: http(s) address, env:NAME of a variable that holds it, or empty. An address can be a
        secret, so it is never printed.
      run_page: address of a run's page, with {run} for its id, or empty.

    Returns:
      Whether a webhook took it.
    """
    conclusion, unknown = _conclusion(bucket_uri, run_id)
    page = run_page.replace(RUN, _page_id(run, run_id))
    text = message.one_line(
        state=state, run=run, error=error_message, conclusion=conclusion, unknown=unknown, page=page
    )
    print(f"notify: {text}", flush=True)
    url = _address(notify_webhook)
    if not url:
        return False
    body: dict[str, Any] = {"text": text}
    if urllib.parse.urlsplit(url).hostname != _SLACK_HOST:
        body |= {
            "pipeline": message.PIPELINE,
            "run": run,
            "state": message.known(state),
            "error": error_message[:_ERROR_LIMIT],
            "page": page,
            "conclusion": dataclasses.asdict(conclusion) if conclusion else None,
        }
    reason = webhook.post(url, json.dumps(body).encode())
    print(f"notify: the webhook was {f'not told: {reason}' if reason else 'told'}", flush=True)
    return not reason


def _conclusion(bucket_uri: str, run_id: str) -> tuple[Conclusion | None, str]:
    """Returns what the run left, else why it is unknown."""
    try:
        conclusion = conclusions.find(bucket_uri, run_id)
    except PipelineError as error:
        return None, f"verdict unknown: {error}"
    return conclusion, "" if conclusion else "no verdict: it ended before there was one"


def _page_id(run: str, run_id: str) -> str:
    """Returns what a platform's pages know a run by: Vertex AI's go by the end of the job's name."""
    return run.rpartition("/")[2] if run.startswith("projects/") else run_id


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
