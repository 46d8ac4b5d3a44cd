"""The pipeline: four components, one gate. Every default value of the project is in this file.

    ingest ──► lookup ──(changed?)──► train ──► evaluate ──(blessed?)──► export      then, in any case, notify

1. ingest    fetches and verifies the dataset and normalises it.
2. lookup    ends the run here if `skip_unchanged` and the same has been published already.
3. train     trains one of the notebook's four model styles and writes a SavedModel.
4. evaluate  scores it, and the bucket's champion, on all test rows, and decides.
5. export    publishes it to the bucket; runs only if evaluate blessed it.
   export-2  is export in evaluate's image; runs only if another champion came first: evaluates against that.
6. notify    says how the run ended, on success and failure alike.
"""

import functools
from typing import List  # noqa: UP035  # KFP reads typing.List in every Python it supports

from kfp import dsl

from components.evaluate.component import evaluate
from components.export.component import export
from components.ingest.component import ingest
from components.lookup.component import lookup
from components.notify.component import notify
from components.train.component import train
from pipeline.compile.nodes import Resources

# A time limit is for what hangs: many times what the defaults take; who has more to do asks for more.
RESOURCES = {
    "ingest": Resources(cpu="1", memory="2G", time_limit="1h"),
    "lookup": Resources(cpu="500m", memory="512M", time_limit="15m"),
    "train": Resources(cpu="2", memory="4G", time_limit="6h"),
    "evaluate": Resources(cpu="1", memory="2G", time_limit="1h"),
    "export": Resources(cpu="1", memory="1G", time_limit="1h"),
    "export-2": Resources(cpu="1", memory="2G", time_limit="1h"),
    "notify": Resources(cpu="500m", memory="256M", time_limit="15m"),
}
SIZED_LIKE = {"export-2": "evaluate"}  # an export that evaluates
RETRIES = 2
RETRY_BACKOFF = "30s"
RETRY_BACKOFF_FACTOR = 2.0
# Not the longest pause, whatever its name: Kubeflow Pipelines gives it to Argo as the time within which all
# attempts must have ended, counted from the first one's start, and kills a healthy attempt when it is over.
# Left out it is an hour there. Seven days hold all attempts of the longest time limit, and a day's waiting.
RETRY_BACKOFF_MAX = "604800s"
GPU_TASK = "train"
EXPORT_TASKS = ("export", "export-2")
NOTIFY_TASK = "notify"
LOCAL_BUCKET = "output/bucket"
LOCAL_CHECKPOINTS = "output/checkpoints"


def _configure(task: dsl.PipelineTask, *, cache: bool = False) -> None:
    """Only ingest may be cached: the others' results depend on the bucket or are the point of the run."""
    task.set_caching_options(cache)
    task.set_retry(
        num_retries=RETRIES,
        backoff_duration=RETRY_BACKOFF,
        backoff_factor=RETRY_BACKOFF_FACTOR,
        backoff_max_duration=RETRY_BACKOFF_MAX,
    )


@dsl.pipeline(
    name="mnist-pipeline",
    description="Trains a digit classifier, scores it against the champion and publishes it if it is better.",
)
def mnist_pipeline(
    bucket_uri: str,
    dataset: str = "mnist",
    mirror: str = "",
    pixel_scale: float = 255.0,
    validation_rows: int = 10_000,
    holdout: bool = True,
    augment_factor: int = 1,
    model_style: str = "sequential_add",
    hidden_units: List[int] = [],  # noqa: B006, UP006  # KFP copies it into the YAML
    epochs: int = 10,
    batch_size: int = 64,
    learning_rate: float = 0.001,
    seed: int = 0,
    precision: str = "float32",
    resident_bytes: int = 2_000_000_000,
    checkpoint_uri: str = "",
    min_accuracy: float = 0.97,
    min_digit_recall: float = 0.93,
    min_improvement: float = 0.0,
    data_version: str = "",
    skip_unchanged: bool = False,
    notify_webhook: str = "",
) -> None:
    """Wires the components.

    Args:
        bucket_uri: Where models are published; gs://bucket/prefix or a directory.
        dataset: TFDS name of the dataset; mnist, fashion_mnist or kmnist.
        mirror: Directory, gs://bucket/prefix or https://base of its archives; empty for its own source.
        pixel_scale: What pixels are divided by; the notebook has 225.
        validation_rows: The last training rows, scored after every epoch.
        holdout: Whether the validation rows are kept out of training; the notebook trains on them too.
        augment_factor: How often each training row is there; all but once a little shifted and rotated.
        model_style: sequential_add, sequential_list, functional or subclass.
        hidden_units: Sizes of the relu layers; [] for the notebook's.
        epochs: Passes over the training rows.
        batch_size: Rows per optimiser update.
        learning_rate: RMSprop step size.
        seed: First weights and row order are functions of it.
        precision: What train computes in; float32, mixed_bfloat16 or mixed_float16.
        resident_bytes: Rows of at most so many bytes stay on the device, others are streamed to it.
        checkpoint_uri: Where an interrupted train goes on from; gs://bucket/prefix or a directory.
        min_accuracy: Floor for the test accuracy, a fraction.
        min_digit_recall: Floor for the recall of the weakest digit, a fraction.
        min_improvement: By how much the champion's accuracy must be beaten, a fraction.
        data_version: Your name for what the data source holds now; a new one makes a cached ingest run again.
        skip_unchanged: Whether to end before training if a model of this data, code and training parameters
            is published.
        notify_webhook: https:// address that is told how the run ended, or env:NAME of a variable that holds
            it; empty for none.
    """
    notified = notify(notify_webhook=notify_webhook)
    _configure(notified)
    with dsl.ExitHandler(notified, name="run"):
        ingested = ingest(
            dataset=dataset,
            mirror=mirror,
            pixel_scale=pixel_scale,
            validation_rows=validation_rows,
            holdout=holdout,
            augment_factor=augment_factor,
            data_version=data_version,
        )
        _configure(ingested, cache=True)
        looked_up = lookup(
            dataset_fingerprint=ingested.outputs["Output"],
            bucket_uri=bucket_uri,
            skip_unchanged=skip_unchanged,
            model_style=model_style,
            hidden_units=hidden_units,
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            seed=seed,
            precision=precision,
        )
        _configure(looked_up)
        with dsl.If(looked_up.output == True, name="changed"):  # noqa: E712  # KFP builds an expression
            trained = train(
                data=ingested.outputs["data"],
                model_style=model_style,
                hidden_units=hidden_units,
                epochs=epochs,
                batch_size=batch_size,
                learning_rate=learning_rate,
                seed=seed,
                precision=precision,
                resident_bytes=resident_bytes,
                checkpoint_uri=checkpoint_uri,
            )
            _configure(trained)
            evaluated = evaluate(
                data=ingested.outputs["data"],
                model=trained.outputs["model"],
                bucket_uri=bucket_uri,
                min_accuracy=min_accuracy,
                min_digit_recall=min_digit_recall,
                min_improvement=min_improvement,
            )
            _configure(evaluated)
            with dsl.If(evaluated.outputs["Output"] == True, name="blessed"):  # noqa: E712
                export_this = functools.partial(
                    export,
                    data=ingested.outputs["data"],
                    model=trained.outputs["model"],
                    evaluation=evaluated.outputs["evaluation"],
                    bucket_uri=bucket_uri,
                )
                exported = export_this()
                _configure(exported)
                with dsl.If(exported.outputs["Output"] == True, name="overtaken"):  # noqa: E712
                    exported_again = export_this()
                    _configure(exported_again)
