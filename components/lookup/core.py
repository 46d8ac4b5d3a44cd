"""lookup: has a model of this data, this code and these settings been published already?"""

import json
from pathlib import Path

from components import revision
from components.errors import DataError
from components.lookup.settings import Settings
from components.registry import reading
from components.registry.manifest import Manifest
from components.storage.bucket import Bucket
from components.storage.opening import open_bucket
from components.train.settings import Settings as TrainSettings


def lookup(
    settings: Settings,
    train_settings: TrainSettings,
    *,
    dataset_fingerprint: str,
    bucket_uri: str,
    settings_path: str,
) -> bool:
    """Compares what is about to be trained with every published version's provenance.

    Code that differs from its commit, or whose commit is unknown, is never taken for the same.

    Args:
      settings: when to look at all; with `skip_unchanged` off the bucket is asked nothing.
      train_settings: what train would get; empty `hidden_units` for the style's own.
      dataset_fingerprint: SHA-256, hex, of the dataset artifact.
      bucket_uri: gs://bucket[/prefix], file:///directory or a local directory.
      settings_path: where train's settings go, complete, as one JSON object.

    Returns:
      True if there is something to train.

    Raises:
      StorageError: the bucket is missing, refuses or does not answer.
    """
    wanted = train_settings.resolved()
    Path(settings_path).write_text(json.dumps(wanted.as_dict()), encoding="utf-8")
    if not settings.skip_unchanged:
        print("lookup: training in any case (skip_unchanged is off)", flush=True)
        return True
    code = revision.current()
    if code is None or code.endswith("-dirty"):
        print(f"lookup: training, for the code is no commit's ({code or 'unknown'})", flush=True)
        return True
    same = _find(open_bucket(bucket_uri), code, wanted.fingerprint(), dataset_fingerprint)
    if same is None:
        print("lookup: training, for no published model has this data, code and parameters", flush=True)
        return True
    print(
        f"lookup: unchanged, published as {same.version[:12]} on {same.created[:16]}; ending here", flush=True
    )
    return False


def _find(bucket: Bucket, code: str, settings: str, dataset: str) -> Manifest | None:
    """Returns a published version with that provenance; one that cannot be read is not it."""
    wanted = {"settings_fingerprint": settings, "dataset_fingerprint": dataset}
    for version in reading.published_versions(bucket):
        try:
            manifest = reading.read_manifest(bucket, version)
        except DataError as error:
            print(f"lookup: passing over {version[:12]}: {error}", flush=True)
            continue
        facts = manifest.provenance.get("parameters")
        is_same = isinstance(facts, dict) and all(facts.get(name) == value for name, value in wanted.items())
        if is_same and manifest.provenance.get("git_revision") == code:
            return manifest
    return None
