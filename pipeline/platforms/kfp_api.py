"""Requests to a Kubeflow Pipelines API: every answer is judged, every list is read to its end."""

import functools
import itertools
from collections.abc import Iterator
from typing import Any

from components.errors import StorageError
from pipeline.environments import KfpEnvironment
from pipeline.platforms import answers
from pipeline.platforms.access import answers_from, ask, connect
from pipeline.platforms.answers import Json
from pipeline.platforms.platform import NoAnswerError, repeatedly

_PAGE = 100
_TAIL_BYTES = 64 << 10
_LOG_CHUNKS = 4096  # 256 MiB; nobody waits for the end of a longer log


class KfpApi:
    """A client that is connected, and what it can be asked.

    Attributes:
      client: the `kfp.Client`, whose services have the methods to ask.
      is_multi_user: whether the installation has namespaces.
    """

    def __init__(self, environment: KfpEnvironment) -> None:
        self._environment = environment
        self.client, about = repeatedly(lambda: connect(environment))
        self.is_multi_user = about.get("multi_user") is True
        self._tells_nodes = True

    def ask(self, method: Any, **arguments: Any) -> Json:
        """Calls one method and returns its answer's JSON object; raises one of our errors, one line each."""
        return ask(self._environment, method, **arguments)

    def new(self, key: str, method: Any, **arguments: Any) -> Json:
        """As `ask`, for what makes something: an answer without the id that it was given is none."""
        answer = self.ask(method, **arguments)
        if not answers.text(answer, key):
            raise StorageError(f"{self._environment.host}: answered without {key}")
        return answer

    def first(self, kind: str, method: Any, **arguments: Any) -> Json | None:
        """Returns the first row of a list."""
        return next(self.all(kind, method, limit=1, **arguments), None)

    def all(self, kind: str, method: Any, limit: int | None = None, **arguments: Any) -> Iterator[Json]:
        """Yields the rows of every page, at most `limit`."""
        token, left = "", limit
        while left is None or left > 0:
            size = _PAGE if left is None else min(left, _PAGE)
            request = functools.partial(self.ask, method, page_token=token, page_size=size, **arguments)
            answer = repeatedly(request)
            rows = answers.rows(answer, kind)
            yield from rows[:left]
            token = answers.text(answer, "next_page_token")
            left = None if left is None else left - len(rows)
            if not token or not rows:
                return

    def manifest(self, run_id: str) -> Json:
        """Returns Argo's own account of a run; {} where the server has no v1beta1 API, or no account yet."""
        if not self._tells_nodes:
            return {}
        try:
            get = functools.partial(self._get, "/apis/v1beta1/runs/{run_id}", run_id=run_id)
            runtime = answers.part(self.ask(get), "pipeline_runtime")
        except NoAnswerError:
            raise
        except StorageError:
            self._tells_nodes = False  # a version without that API: what v2beta1 says has to do
            return {}
        try:
            return answers.parsed(answers.text(runtime, "workflow_manifest").encode())
        except ValueError:
            return {}

    def log_tail(self, run_id: str, pod_name: str) -> str:
        """Returns the end of what a pod wrote, "" where it cannot be had: it explains an error, no more."""
        limits = {"_preload_content": False, "_request_timeout": self._environment.timeout_seconds}
        tail = b""
        try:
            with answers_from(self._environment):
                path = "/apis/v1alpha1/runs/{run_id}/nodes/{node_id}/log"
                response = self._get(path, run_id=run_id, node_id=pod_name, **limits)
                for chunk in itertools.islice(response.stream(_TAIL_BYTES), _LOG_CHUNKS):
                    tail = (tail + chunk)[-_TAIL_BYTES:]
        except StorageError:
            return ""
        return tail.decode(errors="replace")

    def _get(self, path: str, *, run_id: str, node_id: str = "", **limits: Any) -> Any:
        """Asks for what the generated client, of the v2beta1 API, has no method for."""
        return self.client.runs.api_client.call_api(
            path,
            "GET",
            path_params={"run_id": run_id, "node_id": node_id},
            header_params={"Accept": "application/json"},
            auth_settings=["Bearer"],
            **limits,
        )
