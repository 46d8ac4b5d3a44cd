"""lookup: is there anything to train? By what was published, and by the policy."""

import datetime
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from components import revision
from components.errors import DataError, GateError
from components.lookup import policy
from components.lookup.settings import Settings
from components.registry import conclusions, reading
from components.registry.conclusions import Conclusion
from components.registry.manifest import Manifest
from components.storage.bucket import Bucket
from components.storage.opening import open_bucket
from components.train.settings import Settings as TrainSettings


def lookup(
    settings: Settings,
    train_settings: TrainSettings,
    *,
    news: Mapping[str, Any],
    bucket_uri: str,
    settings_path: str,
    run_id: str,
) -> bool:
    """Compares what is about to be trained with what was published, and decides by the policy.

    Code that differs from its commit, or whose commit is unknown, is never taken for the same.

    Args:
      settings: the policy; where it is silent, the bucket is asked nothing.
      train_settings: what train would get; empty `hidden_units` for the style's own.
      news: what ingest tells of the data.
      bucket_uri: gs://bucket[/prefix], file:///directory or a local directory.
      settings_path: where train's settings go, complete, as one JSON object.
      run_id: the run's, for notify.

    Returns:
      True if there is something to train.

    Raises:
      StorageError: the bucket is missing, refuses or does not answer.
    """
    wanted = train_settings.resolved()
    Path(settings_path).write_text(json.dumps(wanted.as_dict()), encoding="utf-8")
    data = policy.read_news(news)
    known = policy.Known("", None, None, (), None)
    if settings.skip_unchanged or settings.min_hours_between:
        known = _known(open_bucket(bucket_uri), wanted.fingerprint(), data.fingerprint)
    decision = policy.decide(settings, data, known, datetime.datetime.now(datetime.UTC))
    print(f"lookup: {decision.reason}{'' if decision.train else '; ending here'}", flush=True)
    if not decision.train:
        conclusion = Conclusion(conclusions.NOTHING_TO_TRAIN, f"nothing trained: {decision.reason}")
        conclusions.leave(bucket_uri, run_id, conclusion)
    return decision.train


def _known(bucket: Bucket, settings: str, dataset: str) -> policy.Known:
    """Reads what was published; a version that cannot be read is passed over."""
    manifests = list(_manifests(bucket))
    pointer, _ = reading.read_pointer(bucket)
    champion = next((m for m in manifests if pointer and m.version == pointer.current.version), None)
    data = champion.provenance.get("data") if champion else None
    data = data if isinstance(data, dict) else {}
    created = [_time(manifest) for manifest in manifests]
    return policy.Known(
        same=_same(manifests, settings, dataset),
        champion_created=_time(champion) if champion else None,
        champion_rows=data.get("train_rows"),
        champion_batches=tuple(data.get("batches", ())),
        newest_created=max(created, default=None),
    )


def _same(manifests: Sequence[Manifest], settings: str, dataset: str) -> str:
    """Returns the published version of this data, this code and these settings, "" for none."""
    code = revision.current()
    if code is None or code.endswith("-dirty"):
        print(f"lookup: the code is no commit's ({code or 'unknown'}), so it counts as changed", flush=True)
        return ""
    wanted = {"settings_fingerprint": settings, "dataset_fingerprint": dataset}
    for manifest in manifests:
        facts = manifest.provenance.get("parameters")
        is_same = isinstance(facts, dict) and all(facts.get(name) == value for name, value in wanted.items())
        if is_same and manifest.provenance.get("git_revision") == code:
            return manifest.version
    return ""


def _manifests(bucket: Bucket) -> Iterator[Manifest]:
    for version in reading.published_versions(bucket):
        try:
            yield reading.read_manifest(bucket, version)
        except (DataError, GateError) as error:
            print(f"lookup: passing over {version[:12]}: {error}", flush=True)


def _time(manifest: Manifest) -> datetime.datetime:
    return datetime.datetime.fromisoformat(manifest.created)
