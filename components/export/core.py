"""export: a blessed SavedModel in, a published champion out."""

import json
from pathlib import Path
from typing import Any

from components.errors import DataError, RetryableError
from components.export import provenance, rematch, verdict
from components.registry import conclusions, signing
from components.registry.conclusions import Conclusion
from components.registry.files import describe, tree_hash
from components.registry.publishing import ChampionMovedError, publish
from components.storage.opening import open_bucket

PUBLISHED_FILE = "published.json"
EVALUATIONS = 5  # evaluate's, and those against champions that came since


def export(
    *,
    dataset_dir: str | Path,
    model_dir: str | Path,
    evaluation_dir: str | Path,
    bucket_uri: str,
    published_dir: str | Path,
    run_id: str,
) -> dict[str, Any] | None:
    """Publishes the model and makes it the champion, if evaluate blessed this very model.

    Args:
      dataset_dir: the dataset artifact; read only if the champion moved since the evaluation.
      model_dir: a SavedModel.
      evaluation_dir: evaluate's artifact, with evaluation.json.
      bucket_uri: gs://bucket[/prefix], file:///directory or a local directory, made if it doesn't exist.
      published_dir: where published.json goes; it is written last.
      run_id: the run's, for notify.

    With MODEL_SIGNING_KEY in the environment, a PEM file's path, the manifest and the pointer are signed.

    Returns:
      What published.json holds: version, created (False if this model was there already), promoted (False if
      it was the champion already), model_uri, serving_uri, generation, parent. None if another champion was
      promoted since the evaluation and there is no TensorFlow here to evaluate against that one.

    Raises:
      UsageError: a bucket URI of another form.
      GateError: the gate was closed, another model was evaluated, or the champion moved since and the model
        does not beat the new one.
      RetryableError: the champion kept moving.
      DataError: the model or the evaluation is damaged, or the bucket's pointer or this version is.
      StorageError: the bucket is missing, refuses or does not answer.
    """
    bucket = open_bucket(bucket_uri)
    judged = verdict.read(evaluation_dir)
    files = describe(model_dir)
    verdict.require_blessed(judged, tree_hash(files))
    signing_key = signing.signing_key()
    for _ in range(EVALUATIONS):
        facts = provenance.provenance(model_dir, judged)
        try:
            outcome = publish(
                bucket, model_dir, facts, judged.pointer_generation, files=files, signing_key=signing_key
            )
            break
        except ChampionMovedError as moved:
            print(f"export: {moved}", flush=True)
            if not rematch.is_possible():
                print("export: no TensorFlow here to evaluate again; to be run where it is", flush=True)
                return None
            judged = rematch.evaluate_again(judged, bucket, dataset_dir, model_dir)
            if not judged.facts["unchanged"]:  # else somebody promoted this very model
                verdict.require_blessed(judged, tree_hash(files))
    else:
        raise RetryableError(f"the champion in {bucket_uri} moved {EVALUATIONS} times; run export again")
    published = {
        "version": outcome.version,
        "created": outcome.created,
        "promoted": outcome.promoted,
        "generation": outcome.generation,
        "model_uri": outcome.model_uri,
        "serving_uri": outcome.serving_uri,
        "parent": judged.champion or "",
    }
    _write(Path(published_dir), published)
    conclusion = Conclusion.of_evaluation(judged.facts).published(outcome.version, outcome.model_uri)
    conclusions.leave(bucket_uri, run_id, conclusion)
    state = "new champion" if outcome.promoted else "already the champion"
    print(f"export: version {outcome.version[:12]}, {state}: {outcome.model_uri}")
    return published


def _write(published_dir: Path, published: dict[str, Any]) -> None:
    try:
        published_dir.mkdir(parents=True, exist_ok=True)
        (published_dir / PUBLISHED_FILE).write_text(json.dumps(published, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise DataError(f"{published_dir}: cannot write {PUBLISHED_FILE}: {error.strerror}") from None
