"""What a run came to, left beside the models for notify: an exit handler is given no task's outputs.

conclusions.leave("gs://models/mnist", run_id, Conclusion("not blessed", "accuracy 0.91 is below 0.97"))
conclusions.find("gs://models/mnist", run_id).reason

One small object for each run, which lookup, evaluate and export write, each over the one before. They lie in
`conclusions`, a bucket of its own within the bucket: who leaves one needs no right to write models.
"""

import dataclasses
import json
import re
from collections.abc import Mapping
from typing import Any, Self

from components import json_objects
from components.errors import DataError, StorageError
from components.json_objects import JsonObject
from components.storage.bucket import Bucket, StoredObject
from components.storage.opening import open_bucket

FOLDER = "conclusions"
KEPT_DAYS = 30
_FORMAT = "mnist-run/1"
_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")

NOTHING_TO_TRAIN, NOT_BLESSED, BLESSED, UNCHANGED, PUBLISHED = VERDICTS = (
    "nothing to train",
    "not blessed",
    "blessed",
    "unchanged",
    "published",
)


@dataclasses.dataclass(frozen=True)
class Conclusion:
    """What a run came to, so far.

    Attributes:
      verdict: one of VERDICTS; `blessed` is a model that is yet to be published, `unchanged` one that is the
        champion already.
      reason: in words.
      accuracy: on the test rows, a fraction; None for a run that trained nothing.
      champion: version that the model was compared with, "" for none.
      champion_accuracy: on the same rows, in the same run.
      version: what was published.
      model_uri: where it is.
    """

    verdict: str
    reason: str
    accuracy: float | None = None
    champion: str = ""
    champion_accuracy: float | None = None
    version: str = ""
    model_uri: str = ""

    @classmethod
    def of_evaluation(cls, facts: Mapping[str, Any]) -> Self:
        """Returns what evaluation.json's content amounts to."""
        champion = facts.get("champion") or {}
        verdict = BLESSED if facts["blessed"] else UNCHANGED if facts.get("unchanged") else NOT_BLESSED
        return cls(
            verdict=verdict,
            reason=facts["reason"],
            accuracy=facts.get("accuracy"),
            champion=champion.get("version", ""),
            champion_accuracy=champion.get("accuracy"),
        )

    def published(self, version: str, model_uri: str) -> Self:
        """Returns what it comes to once the model is published."""
        return dataclasses.replace(self, verdict=PUBLISHED, version=version, model_uri=model_uri)

    @classmethod
    def decode(cls, data: bytes, where: str) -> Self:
        """Returns what `encode` wrote; raises DataError for anything else."""
        found = json_objects.parse_format(data, where, _FORMAT)
        verdict = found.text("verdict")
        if verdict not in VERDICTS:
            raise DataError(f"{where}: verdict={verdict[:40]!r} must be one of {', '.join(VERDICTS)}")
        texts = {name: found.text(name) for name in ("reason", "champion", "version", "model_uri")}
        return cls(
            verdict=verdict,
            accuracy=_fraction(found, "accuracy"),
            champion_accuracy=_fraction(found, "champion_accuracy"),
            **texts,
        )

    def encode(self) -> bytes:
        """Returns the object's bytes."""
        content = {"format": _FORMAT, **dataclasses.asdict(self)}
        return (json.dumps(content, indent=1, sort_keys=True) + "\n").encode()


def leave(bucket_uri: str, run_id: str, conclusion: Conclusion) -> None:
    """Leaves a conclusion for notify. One that cannot be left is reported, and fails nothing.

    Args:
      bucket_uri: where models are published.
      run_id: the platform's id of the run; each of its tasks is given the same.
      conclusion: what it came to, so far.
    """
    try:
        bucket, name = _place(bucket_uri, run_id)
        earlier = bucket.stat(name)
        bucket.write(name, conclusion.encode(), generation=earlier.generation if earlier else 0)
    except (StorageError, DataError) as error:
        print(f"{conclusion.verdict}, but notify will not know: {error}", flush=True)


def find(bucket_uri: str, run_id: str) -> Conclusion | None:
    """Returns a run's last conclusion, None if it left none.

    Raises:
      StorageError: the bucket refuses or does not answer.
      DataError: the object is damaged, or `run_id` is no run's.
    """
    bucket, name = _place(bucket_uri, run_id)
    content = bucket.read(name)
    return Conclusion.decode(content.data, f"{bucket.uri}/{name}") if content else None


def expired(bucket: Bucket, moment: float) -> list[StoredObject]:
    """Returns the conclusions that are older than KEPT_DAYS; `moment` is seconds since 1970."""
    form = re.compile(rf"{FOLDER}/{_RUN_ID.pattern}\.json")  # nothing that somebody else has put there
    return [
        stored
        for stored in bucket.list(f"{FOLDER}/")
        if form.fullmatch(stored.name) and moment - stored.updated >= KEPT_DAYS * 86_400.0
    ]


def _place(bucket_uri: str, run_id: str) -> tuple[Bucket, str]:
    if not _RUN_ID.fullmatch(run_id):
        raise DataError(f"run_id={run_id[:80]!r}: is no run's")
    return open_bucket(f"{open_bucket(bucket_uri).uri}/{FOLDER}"), f"{run_id}.json"


def _fraction(found: JsonObject, name: str) -> float | None:
    value = found.values.get(name)
    if value is None:
        return None
    if type(value) not in (int, float) or not 0 <= value <= 1:
        raise DataError(f"{found.where}: {name}={str(value)[:40]} must be a number from 0 to 1")
    return float(value)
