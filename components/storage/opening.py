"""Which kind of bucket a URI names; what chooses an implementation stands apart from what both share."""

import os
from pathlib import Path

from components.errors import UsageError
from components.storage import uri as uri_forms
from components.storage.bucket import Bucket

DEFAULT_DEADLINE_SECONDS = 120.0
DEADLINE_VARIABLE = "BUCKET_DEADLINE"


def open_bucket(uri: str, *, deadline: float | None = None) -> Bucket:
    """Opens the bucket at `uri`; for `gs://` with Application Default Credentials. Makes no request yet.

    Args:
      uri: gs://bucket[/prefix], file:///directory or a local directory.
      deadline: seconds after which one operation on a store that fails or does not answer is given up;
        None means the environment's BUCKET_DEADLINE, else 120.

    Raises:
      UsageError: a URI of another form, or a deadline that is not a positive number.
      StorageError: no usable credentials.
    """
    parsed = uri_forms.parse(uri)
    seconds = _deadline_from_environment() if deadline is None else deadline
    if not 0 < seconds <= 86_400:
        raise UsageError(f"bucket deadline {seconds!r}: must be more than 0 and at most 86400 seconds")
    if parsed.is_local:
        from components.storage.local import LocalBucket

        return LocalBucket(Path(parsed.path), deadline=seconds)
    from components.storage.gcs import GcsBucket

    return GcsBucket(parsed, deadline=seconds)


def check_writable(uri: str, *, deadline: float | None = None) -> None:
    """Raises StorageError, before any work is done, if a model could not be published to `uri`.

    Nothing is created: not the local directory, not an object.
    """
    open_bucket(uri, deadline=deadline).check_writable()


def _deadline_from_environment() -> float:
    text = os.environ.get(DEADLINE_VARIABLE, "")
    if not text:
        return DEFAULT_DEADLINE_SECONDS
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"{DEADLINE_VARIABLE}={text!r}: must be a number of seconds") from None
