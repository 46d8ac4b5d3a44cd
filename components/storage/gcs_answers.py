"""Is an answer the store's? Checked for every request before the client library takes it for one.

A captive portal, a proxy or a login page answers 200 to anything. The library would look for fields in its
HTML, and a deletion would seem to have worked. Each kind of request has its answer here, with the fields that
the library or this project will read.
"""

import re
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

from components import json_objects
from components.errors import DataError
from components.json_objects import JsonObject

_NUMBER = re.compile(r"[0-9]{1,20}")
_KIND = re.compile(r"storage#\w+")
_CRC32C = re.compile(r"[A-Za-z0-9+/]{6}==")
_NOTHING = (b"", b"null", b"{}")  # emulators send a body where the store sends none


class AnswerError(Exception):
    """What was answered, in words, without repeating it: it may hold anything."""


def check_answer(response: Any, **_: Any) -> None:
    """Checks a response, as a hook of a `requests` session.

    Raises:
      AnswerError: it is a success or a redirection that no store would answer this request with.
    """
    if response.status_code >= 400:
        response.content  # noqa: B018  # else a streamed download leaves it, and with it an open connection
        return
    try:
        _check_success(response)
    except AnswerError:
        response.close()
        raise


def _check_success(response: Any) -> None:
    if response.is_redirect:
        raise AnswerError("was sent elsewhere, as to a login page")
    request = response.request
    path = urlsplit(request.url).path
    query = {name: values[-1] for name, values in parse_qs(urlsplit(request.url).query).items()}
    is_resumable_start = query.get("uploadType") == "resumable" and request.method == "POST"
    if request.method == "DELETE":
        is_good = response.content.strip() in _NOTHING
    elif is_resumable_start:
        is_good = "Location" in response.headers
    elif query.get("alt") == "media":
        return _check_download(response)
    else:  # 308: a resumable upload that is to go on
        is_good = response.status_code == 308 or _is_resource(response, path, query)
    if not is_good:
        raise AnswerError(_described(response))
    return None


def _is_resource(response: Any, path: str, query: dict[str, str]) -> bool:
    try:
        _check_fields(json_objects.parse(response.content, "its answer"), path, query)
    except DataError:  # its words would repeat what was answered
        return False
    return True


def _check_download(response: Any) -> None:
    is_part = "Range" in response.request.headers
    if not _NUMBER.fullmatch(response.headers.get("X-Goog-Generation", "")):
        raise AnswerError(_described(response, "an object without a generation"))
    if "crc32c=" not in response.headers.get("X-Goog-Hash", ""):
        raise AnswerError(_described(response, "an object without a checksum"))
    if is_part and response.status_code != 206:
        raise AnswerError("answered with a whole object instead of a part")


def _check_fields(answer: JsonObject, path: str, query: dict[str, str]) -> None:
    """Raises DataError unless an answer has what a listing, a copy or an object has."""
    if path.endswith("/o") and not path.startswith("/upload/"):
        _check_listing(answer, query)
    elif "/rewriteTo/" in path:
        for name in ("totalBytesRewritten", "objectSize"):
            answer.matching(name, _NUMBER)
        if answer.flag("done"):
            _check_object(answer.nested("resource"))
        else:
            answer.text("rewriteToken")
    else:
        _check_object(answer)


def _check_listing(answer: JsonObject, query: dict[str, str]) -> None:
    answer.matching("kind", _KIND)  # all that tells an empty listing from an empty object
    for item in answer.objects("items") if "items" in answer.values else ():
        if "size" in query.get("fields", "size"):
            _check_object(item)
        if not item.text("name").startswith(query.get("prefix", "")):
            raise DataError("a name that was not asked for")
    if answer.values.get("nextPageToken") and answer.text("nextPageToken") == query.get("pageToken"):
        raise DataError("the same page again")


def _check_object(answer: JsonObject) -> None:
    answer.text("name")
    answer.matching("size", _NUMBER)
    answer.matching("generation", _NUMBER)
    if answer.values.get("crc32c") is not None:
        answer.matching("crc32c", _CRC32C)
    try:
        datetime.fromisoformat(answer.text("updated"))
    except ValueError:
        raise DataError("a time that is none") from None


def _described(response: Any, otherwise: str = "something else") -> str:
    """Returns what kind of answer it was."""
    kind = response.headers.get("Content-Type", "").lower()
    if "html" in kind:
        otherwise = "an HTML page"
    elif response.headers.get("Content-Length") == "0":
        otherwise = "nothing"
    return f"answered with {otherwise}: is it the store that answers there, or a proxy or a login page?"
