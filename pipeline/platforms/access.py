"""How to get at a Kubeflow Pipelines API: reach it, log in, and say in one line why it would not answer."""

import contextlib
import json
import warnings
from collections.abc import Iterator
from typing import Any

import kfp
import kfp_server_api
import urllib3
from kfp.client import ServiceAccountTokenVolumeCredentials

from components.errors import StorageError, UsageError
from pipeline.environments import KfpEnvironment, check_credentials
from pipeline.platforms import dex
from pipeline.platforms.platform import NoAnswerError, NotFoundError, network_trouble, one_line

_LATER = (409, 429, 500, 502, 503, 504)  # 409: another caller was faster, look again
_REASONS = {
    401: "401: the token or session is missing or has expired",
    403: "403: the caller may not do that",
}


def connect(environment: KfpEnvironment) -> Any:
    """Returns a `kfp.Client` for a host that answers and knows the caller.

    Raises:
      UsageError: the credentials that `auth` needs are not there.
      StorageError: the host refused; NoAnswerError if it cannot be reached.
    """
    check_credentials(environment)
    credentials = _credentials(environment)
    with warnings.catch_warnings(), answers_from(environment):
        warnings.simplefilter("ignore", FutureWarning)  # it works with KFP v2 only, as this project does
        client = kfp.Client(
            host=environment.host,
            # With a namespace the client does not try for 25 s to reach the host; requests name their own.
            namespace=environment.namespace or "unused",
            ssl_ca_cert=str(environment.ca_cert_path) if environment.ca_cert_path else None,
            **credentials,
        )
    _check_alive(client, environment)
    return client


def _credentials(environment: KfpEnvironment) -> dict[str, Any]:
    match environment.auth:
        case "bearer":
            return {"existing_token": _token(environment)}
        case "service-account":
            path = str(environment.token_path) if environment.token_path else None
            return {"credentials": ServiceAccountTokenVolumeCredentials(path=path)}
        case "dex":
            return {"cookies": _cookie(environment)}
    return {}


def _token(environment: KfpEnvironment) -> str:
    if environment.token:
        return environment.token.get_secret_value()
    assert environment.token_path  # check_credentials has seen to that
    try:
        return environment.token_path.read_text(encoding="utf-8").strip()
    except OSError as error:
        where = f"environment {environment.name}: token_path={environment.token_path}"
        raise UsageError(f"{where}: cannot be read: {error.strerror}") from None


def _cookie(environment: KfpEnvironment) -> str:
    if environment.cookie:
        return environment.cookie.get_secret_value()
    assert environment.dex_username and environment.dex_password  # check_credentials has seen to that
    return dex.session_cookie(
        environment.host,
        environment.dex_username.get_secret_value(),
        environment.dex_password.get_secret_value(),
        timeout=environment.timeout_seconds,
        ca_cert_path=environment.ca_cert_path,
    )


def _check_alive(client: Any, environment: KfpEnvironment) -> None:
    """Asks for a sign of life, and whether it comes from the API or from a login page before it."""
    limit = (environment.timeout_seconds, environment.timeout_seconds)
    try:
        with answers_from(environment):
            answer = client.healthzs.healthz_service_get_healthz(
                _preload_content=False, _request_timeout=limit
            )
            json.loads(answer.data)
    except NotFoundError:
        raise StorageError(f"{environment.host}: 404: no Kubeflow Pipelines API there (host)") from None
    except ValueError:
        raise StorageError(
            f"{environment.host}: answers with a web page, as a login does; check host and auth in "
            f"environment {environment.name}"
        ) from None


@contextlib.contextmanager
def answers_from(environment: KfpEnvironment) -> Iterator[None]:
    """Turns what the client raises into StorageError or NoAnswerError, one line each."""
    try:
        yield
    except kfp_server_api.ApiException as error:
        if error.status in _LATER:
            raise NoAnswerError(f"{environment.host}: {error.status}: {one_line(error.reason)}") from None
        reason = _REASONS.get(error.status, f"{error.status or 'no answer'}: {_words(error)}")
        kind = NotFoundError if error.status == 404 else StorageError
        raise kind(f"{environment.host}: {reason} (environment {environment.name})") from None
    except (urllib3.exceptions.HTTPError, OSError) as error:
        trouble = network_trouble(error)
        raise NoAnswerError(
            f"{environment.host}: cannot be reached: {trouble} (environment {environment.name})"
        ) from None


def _words(error: kfp_server_api.ApiException) -> str:
    try:
        return one_line(json.loads(error.body)["message"])
    except (ValueError, TypeError, KeyError):
        return one_line(error.body or error.reason)
