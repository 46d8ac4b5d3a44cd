"""The client of Google Cloud Storage: credentials, an emulator if one is named, and the session below it.

STORAGE_EMULATOR_HOST sends models to whoever it names, so it must be a loopback address unless
STORAGE_EMULATOR_ALLOW_REMOTE=1 says otherwise. The library takes a session of ours under a private name,
`_http`, and by no public one: this is the only module that knows it, and it says so if that is gone.
"""

import importlib.metadata
import inspect
import ipaddress
import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from components.errors import StorageError, UsageError
from components.storage.gcs_answers import check_answer

EMULATOR = "STORAGE_EMULATOR_HOST"
EMULATOR_OPT_IN = "STORAGE_EMULATOR_ALLOW_REMOTE"
_SCOPES = ["https://www.googleapis.com/auth/devstorage.read_write"]
_SESSION_ARGUMENT = "_http"
_LIBRARY = "google-cloud-storage"


def connect() -> tuple[Any, Any]:
    """Returns a client and the session that it sends its requests with; makes no request yet.

    Raises:
      StorageError: no usable credentials.
      UsageError: an emulator that is not on this machine, or a library that takes no session.
    """
    from google.auth.credentials import AnonymousCredentials

    # Else every client looks its bucket up for telemetry, in a thread, with a permission few roles have.
    os.environ.setdefault("DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA", "true")
    emulator = os.environ.get(EMULATOR, "")
    if emulator:
        _check_emulator(emulator)
        return _client("emulator", AnonymousCredentials())
    import google.auth

    try:
        credentials, project = google.auth.default(scopes=_SCOPES)
    except Exception as error:  # on odd files the library raises whatever it stumbles over
        raise StorageError(f"no usable Google credentials: {_credentials_problem(error)}") from error
    return _client(project or "unused", credentials)


def _client(project: str, credentials: Any) -> tuple[Any, Any]:
    from google.cloud import storage

    if _SESSION_ARGUMENT not in inspect.signature(storage.Client).parameters:
        version = importlib.metadata.version(_LIBRARY)
        raise UsageError(
            f"{_LIBRARY} {version}: its Client takes no {_SESSION_ARGUMENT} any more, which keeps it to the "
            "deadline; install the version that requirements/ names"
        )
    session = _session(credentials)
    return storage.Client(project=project, credentials=credentials, **{_SESSION_ARGUMENT: session}), session


def _session(credentials: Any) -> Any:
    """Returns a session that signs its requests, keeps to the operation's time and checks every answer."""
    import requests
    from google.auth.exceptions import GoogleAuthError
    from google.auth.transport.requests import AuthorizedSession, Request

    from components.storage.timed_http import TimedAdapter

    refreshing = requests.Session()
    refreshing.mount("https://", TimedAdapter(max_retries=3))
    refreshing.mount("http://", TimedAdapter(max_retries=3))
    session = AuthorizedSession(credentials, auth_request=Request(refreshing))
    session.mount("http://", TimedAdapter())
    session.mount("https://", TimedAdapter())
    try:
        session.configure_mtls_channel()  # does nothing unless GOOGLE_API_USE_CLIENT_CERTIFICATE asks for it
    except GoogleAuthError as error:
        raise StorageError(f"no usable client certificate ({type(error).__name__})") from error
    session.hooks["response"].append(check_answer)
    return session


def _credentials_problem(error: Exception) -> str:
    """Says what is wrong without repeating anything from inside a credentials file."""
    path = os.environ.get("GOOGLE_APPLICATION_CREDENTIALS")
    advice = (
        "run `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS to a key file"
    )
    if not path:
        return advice
    state = "is not a credentials file" if Path(path).is_file() else "no such file"
    return f"GOOGLE_APPLICATION_CREDENTIALS={path!r}: {state} ({type(error).__name__})"


def _check_emulator(emulator: str) -> None:
    if os.environ.get(EMULATOR_OPT_IN) == "1":
        return
    try:
        host = urlsplit(emulator if "://" in emulator else f"http://{emulator}").hostname or ""
        is_loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback:
        raise UsageError(
            f"{EMULATOR}: must name a loopback address, such as http://127.0.0.1:4443, unless "
            f"{EMULATOR_OPT_IN}=1"
        )
