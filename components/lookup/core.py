"""lookup: has a model of this data, this code and these parameters been published already?"""

from typing import Any

from components import revision
from components.errors import DataError
from components.registry import reading
from components.registry.manifest import Manifest
from components.storage.bucket import Bucket
from components.storage.opening import open_bucket


def lookup(
    *,
    dataset_fingerprint: str,
    bucket_uri: str,
    skip_unchanged: bool,
    model_style: str,
    hidden_units: list[int],
    epochs: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
    precision: str,
) -> bool:
    """Compares what is about to be trained with every published version's provenance.

    Code that differs from its commit, or whose commit is unknown, is never taken for the same.

    Args:
      dataset_fingerprint: SHA-256, hex, of the dataset artifact.
      bucket_uri: gs://bucket[/prefix], file:///directory or a local directory.
      skip_unchanged: False trains in any case, and asks the bucket nothing.
      model_style: as `train` has it; so are the others.
      hidden_units: sizes of the relu layers; empty for the notebook's.
      epochs: passes over the training rows.
      batch_size: rows per optimiser update.
      learning_rate: RMSprop step size.
      seed: first weights and row order are functions of it.
      precision: what is computed in.

    Returns:
      True if there is something to train.

    Raises:
      StorageError: the bucket is missing, refuses or does not answer.
    """
    if not skip_unchanged:
        print("lookup: training in any case (skip_unchanged is off)", flush=True)
        return True
    code = revision.current()
    if code is None or code.endswith("-dirty"):
        print(f"lookup: training, for the code is no commit's ({code or 'unknown'})", flush=True)
        return True
    wanted = {
        "model_style": model_style,
        "requested_hidden_units": [int(units) for units in hidden_units],
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "seed": seed,
        "precision": precision,
        "dataset_fingerprint": dataset_fingerprint,
    }
    same = _find(open_bucket(bucket_uri), code, wanted)
    if same is None:
        print("lookup: training, for no published model has this data, code and parameters", flush=True)
        return True
    print(
        f"lookup: unchanged, published as {same.version[:12]} on {same.created[:16]}; ending here", flush=True
    )
    return False


def _find(opened: Bucket, code: str, wanted: dict[str, Any]) -> Manifest | None:
    """Returns a published version with that provenance; one that cannot be read is not it."""
    for version in reading.published_versions(opened):
        try:
            manifest = reading.read_manifest(opened, version)
        except DataError as error:
            print(f"lookup: passing over {version[:12]}: {error}", flush=True)
            continue
        facts = manifest.provenance.get("parameters")
        is_same = isinstance(facts, dict) and all(facts.get(name) == value for name, value in wanted.items())
        if is_same and manifest.provenance.get("git_revision") == code:
            return manifest
    return None
