"""Where a bucket is, `gs://name/prefix`, `file:///directory` or a plain directory, and what its names may be.

TensorFlow and its relatives read models straight from there, and take some paths for patterns.

Pure: nothing here opens a connection, reads the environment or touches the disk.
"""

import os
import re
import sys
from dataclasses import dataclass
from urllib.parse import unquote

from components.errors import UsageError, quoted

MAX_NAME_BYTES = 1024  # https://cloud.google.com/storage/docs/objects#naming
# Leaves room for "/versions/<64 hex digits>/model/" and a model file's own path.
MAX_PREFIX_BYTES = 700
ALLOWED = "must be gs://bucket[/prefix], file:///directory or a local directory"

_CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")
_SCHEME = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*:/")
_BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
_PATTERN = re.compile(r"[][*?\\]")  # TensorFlow looks for a checkpoint's files with glob
_IPV4 = re.compile(r"\d{1,3}(\.\d{1,3}){3}")


@dataclass(frozen=True)
class BucketUri:
    """A parsed bucket URI.

    Attributes:
      bucket: the Google Cloud Storage bucket's name; empty for a local directory.
      path: the prefix inside that bucket, without slashes around it; or the local directory.
    """

    bucket: str
    path: str

    @property
    def is_local(self) -> bool:
        """Whether this is a directory of this machine."""
        return not self.bucket


def parse(uri: str, field: str = "bucket_uri") -> BucketUri:
    """Parses `uri`.

    Args:
      uri: gs://bucket[/prefix], file:///directory or a local directory.
      field: what the error message calls it.

    Raises:
      UsageError: any other form, and names that Google Cloud Storage or a file system refuses or misreads.
    """
    problem = _text_problem(uri)
    if problem:
        raise UsageError(f"{field}={quoted(uri)}: {problem}; {ALLOWED}")
    if uri.startswith("gs://"):
        bucket, _, prefix = uri.removeprefix("gs://").partition("/")
        return _checked(field, uri, _gcs_problem(bucket, prefix), BucketUri(bucket, prefix.removesuffix("/")))
    if uri.startswith("file://"):
        path = unquote(uri.removeprefix("file://"))
        return _checked(field, uri, _file_uri_problem(uri, path), BucketUri("", path))
    check_home(uri, field)
    problem = f"unknown scheme {uri.partition(':')[0]!r}" if _SCHEME.match(uri) else _path_problem(uri)
    return _checked(field, uri, problem, BucketUri("", uri))


def check_model_path(path: str | os.PathLike[str], field: str) -> None:
    """Raises UsageError if TensorFlow could not load a model that lies in the directory `path`."""
    text = os.fspath(path)
    problem = _text_problem(text) or _pattern_problem(text) or _encoding_problem(text)
    if problem:
        raise UsageError(f"{field}={quoted(text)}: {problem}; models there could not be loaded")


def check_home(path: str, field: str) -> None:
    """Raises UsageError if `path` counts on a shell to put somebody's home in the place of `~`."""
    if path.startswith("~"):
        raise UsageError(f"{field}={quoted(path)}: only a shell expands '~'; write the whole path")


def checked_name(name: str) -> str:
    """Returns an object's `name`, relative to its bucket URI, if both kinds of bucket can hold it.

    Raises:
      UsageError: a name that is empty, absolute, longer than 1,024 bytes, or has `..`, `.`, an empty segment,
        a backslash, `?`, `#` or a control character.
    """
    problem = _text_problem(name) or _segments_problem(name)
    if not problem and "\\" in name:
        problem = "a backslash"
    if not problem and len(name.encode()) > MAX_NAME_BYTES:
        problem = f"{len(name.encode())} bytes, more than {MAX_NAME_BYTES}"
    if problem:
        raise UsageError(f"object name {quoted(name)}: {problem}")
    return name


def _checked(field: str, uri: str, problem: str, parsed: BucketUri) -> BucketUri:
    if problem:
        raise UsageError(f"{field}={quoted(uri)}: {problem}; {ALLOWED}")
    return parsed


def _text_problem(text: str) -> str:
    if not text:
        return "empty"
    if _CONTROL.search(text):
        return "a control character or a line break"
    if any("\ud800" <= character <= "\udfff" for character in text):
        return "not valid UTF-8"
    return ""


def _segments_problem(path: str) -> str:
    if "?" in path or "#" in path:
        return "'?' and '#' are not allowed"
    segments = path.split("/")
    if "" in segments:
        return "an empty segment ('//' or a slash at an end)"
    if "." in segments or ".." in segments:
        return "'.' and '..' are not allowed"
    return ""


def _gcs_problem(bucket: str, prefix: str) -> str:
    labels = bucket.split(".")
    is_name = _BUCKET_NAME.fullmatch(bucket) and all(0 < len(label) <= 63 for label in labels)
    if not is_name or _IPV4.fullmatch(bucket):
        return (
            f"bucket name {bucket[:80]!r} must be 3 to 63 lowercase letters, digits, '-', '_' or '.', "
            "with a letter or digit at each end"
        )
    size = len(prefix.encode())
    if size > MAX_PREFIX_BYTES:
        return f"a prefix of {size} bytes, more than {MAX_PREFIX_BYTES}"
    return (_segments_problem(prefix.removesuffix("/")) or _pattern_problem(prefix)) if prefix else ""


def _file_uri_problem(uri: str, path: str) -> str:
    if not path.startswith("/"):
        return "a file URI needs an absolute path, file:///directory"
    if "?" in uri or "#" in uri:
        return "'?' and '#' are not allowed"
    if path.rstrip("/") and "//" in path:
        return "an empty segment ('//')"
    return _text_problem(path) or _path_problem(path)


def _path_problem(path: str) -> str:
    segments = path.split("/")
    if ".." in segments:
        return "'..' is not allowed"
    longest = max(len(segment.encode()) for segment in segments)
    if longest > 255:
        return f"a name of {longest} bytes, more than 255"
    return _pattern_problem(path)


def _pattern_problem(path: str) -> str:
    found = _PATTERN.search(path)
    return f"TensorFlow takes {found[0]!r} in a path for a pattern" if found else ""


def _encoding_problem(path: str) -> str:
    encoding = sys.getfilesystemencoding()
    if path.encode(encoding, "replace") == path.encode():
        return ""
    return f"TensorFlow writes it in UTF-8, and this machine's locale in {encoding}"
