"""How to get at a Kubeflow Pipelines API: reach it, log in, and say in one line why it would not answer."""

import contextlib
import functools
import warnings
from collections.abc import Iterator
from typing import Any

import kfp
import kfp_server_api
import urllib3
from kfp.client import ServiceAccountTokenVolumeCredentials

from components.errors import StorageError, UsageError
from pipeline import files
from pipeline.environments import KfpEnvironment, check_credentials
from pipeline.platforms import answers, dex
from pipeline.platforms.answers import Json
from pipeline.platforms.platform import NoAnswerError, NotFoundError, network_trouble, one_line

_LATER = (409, 429, 500, 502, 503, 504)  # 409: another caller was faster, look again
_REASONS = {
    401: "401: the token or session is missing or has expired",
    403: "403: the caller may not do that",
}


def connect(environment: KfpEnvironment) -> tuple[Any, Json]:
    """Returns a `kfp.Client` for a host that answers and knows the caller, and what it says of itself.

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
    return client, _signs_of_life(client, environment)


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
    field = f"environment {environment.name}: token_path"
    if token := files.read_text(environment.token_path, field).strip():
        return token
    raise UsageError(f"{field}={environment.token_path}: is empty")


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


def _signs_of_life(client: Any, environment: KfpEnvironment) -> Json:
    """Asks for a sign of life; says whether it comes from the API, an old one or a login page before it."""
    try:
        return ask(environment, client.healthzs.healthz_service_get_healthz)
    except NotFoundError:
        if about := _old_api(client, environment):
            version = answers.text(about, "tag_name") or "1.x"
            raise StorageError(
                f"{environment.host}: Kubeflow Pipelines {version}: runs no such pipelines, needs 2.x (host)"
            ) from None
        raise StorageError(f"{environment.host}: 404: no Kubeflow Pipelines API there (host)") from None


def _old_api(client: Any, environment: KfpEnvironment) -> Json:
    """Returns what a 1.x server says of itself, {} if there is none."""
    get = functools.partial(client.healthzs.api_client.call_api, "/apis/v1beta1/healthz", "GET")
    try:
        return ask(environment, get, auth_settings=["Bearer"])
    except StorageError:
        return {}


def ask(environment: KfpEnvironment, method: Any, **arguments: Any) -> Json:
    """Calls a method of the generated client and returns its answer's JSON object.

    The client itself would make an empty row of a login page, and of any other answer that is not the API's.

    Raises:
      StorageError: the host refused, or something else than the API answered; NoAnswerError if it is silent.
    """
    limit = (environment.timeout_seconds, environment.timeout_seconds)
    with answers_from(environment):
        response = method(**arguments, _preload_content=False, _request_timeout=limit)
        data = response.data
    try:
        return answers.parsed(data)
    except ValueError:
        raise StorageError(
            f"{environment.host}: answers with a web page, as a login does, or what else is not the API's; "
            f"check host and auth in environment {environment.name}"
        ) from None


@contextlib.contextmanager
def answers_from(environment: KfpEnvironment) -> Iterator[None]:
    """Turns what the client raises into StorageError or NoAnswerError, one line each."""
    try:
        yield
    except kfp_server_api.ApiException as error:
        if error.status in _LATER:
            raise NoAnswerError(f"{environment.host}: {error.status}: {_words(error)}") from None
        reason = _REASONS.get(error.status, f"{error.status or 'no answer'}: {_words(error)}")
        kind = NotFoundError if error.status == 404 else StorageError
        raise kind(f"{environment.host}: {reason} (environment {environment.name})") from None
    except UnicodeDecodeError:  # the client decodes what a refusal says
        raise StorageError(f"{environment.host}: refused, in words that are no text") from None
    except (urllib3.exceptions.HTTPError, OSError) as error:
        trouble = network_trouble(error)
        raise NoAnswerError(
            f"{environment.host}: cannot be reached: {trouble} (environment {environment.name})"
        ) from None


def _words(error: kfp_server_api.ApiException) -> str:
    """Returns the server's own words; a proxy's page says less than the reason that comes with its status."""
    try:
        answer = answers.parsed((error.body or "").encode())
    except ValueError:
        return one_line(error.reason if "<" in (error.body or "<") else error.body)
    return one_line(answers.text(answer, "message") or answers.text(answer, "error") or error.reason)
