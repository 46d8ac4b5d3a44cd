"""The pipeline: ingest, train, evaluate, export, and what goes before and after them.

    scan ──► ingest ──► lookup ──(worth it?)──► train ──► evaluate ──(blessed?)──► export      then notify

1. scan      looks which labelled batches came since; a cached ingest is of exactly these.
2. ingest    fetches and verifies the dataset and the batches, and normalises them.
3. lookup    ends the run here if there is nothing to train, by what was published and by the policy.
4. train     trains one of the notebook's four model styles and writes a SavedModel.
5. evaluate  scores it, and the bucket's champion, on all test rows, and decides.
6. export    publishes it to the bucket; runs only if evaluate blessed it.
   export-2  is export in evaluate's image; runs only if another champion came first: evaluates against that.
7. notify    says how the run ended and what came of it, on success and failure alike.
"""

import functools
from collections.abc import Callable
from typing import Any

from kfp import dsl

from components.evaluate.component import evaluate
from components.export import settings as export_settings
from components.export.component import export
from components.ingest import settings as ingest_settings
from components.ingest.component import ingest
from components.judging.thresholds import Thresholds
from components.lookup import settings as lookup_settings
from components.lookup.component import lookup
from components.notify import settings as notify_settings
from components.notify.component import notify
from components.scan import settings as scan_settings
from components.scan.component import scan
from components.train import settings as train_settings
from components.train.component import train
from pipeline.compile.nodes import Resources
from pipeline.inputs import Inputs, Kind, takes

# A time limit is for what hangs: many times what the defaults take; who has more to do asks for more.
RESOURCES = {
    "scan": Resources(cpu="500m", memory="256M", time_limit="15m"),
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
CONCLUDING_TASKS = ("lookup", "evaluate")  # leave what the run came to, and publish nothing
NOTIFY_TASK = "notify"
LOCAL_BUCKET = "output/bucket"
LOCAL_CHECKPOINTS = "output/checkpoints"


INPUTS: tuple[Kind, ...] = (
    export_settings.Settings,
    scan_settings.Settings,
    ingest_settings.Settings,
    train_settings.Settings,
    train_settings.Execution,
    Thresholds,
    lookup_settings.Settings,
    notify_settings.Settings,
)

Place = Callable[[dsl.PipelineTask], None]


def anywhere(task: dsl.PipelineTask) -> None:
    """Places a task nowhere in particular: this machine's runners take it as it is."""


def mnist_pipeline(place: Place = anywhere) -> Any:
    """Returns the pipeline for KFP's compiler.

    Args:
      place: is called with each task, to say in a target's words where it runs and what it asks for.
    """

    def configured(task: dsl.PipelineTask, *, cache: bool = False) -> dsl.PipelineTask:
        """Only ingest may be cached: the others' results depend on the bucket or are the point of the run."""
        task.set_caching_options(cache)
        task.set_retry(
            num_retries=RETRIES,
            backoff_duration=RETRY_BACKOFF,
            backoff_factor=RETRY_BACKOFF_FACTOR,
            backoff_max_duration=RETRY_BACKOFF_MAX,
        )
        place(task)
        return task

    @dsl.pipeline(
        name="mnist-pipeline",
        description="Trains a digit classifier and publishes it if it is better than the champion.",
    )
    @takes(*INPUTS)
    def wired(inputs: Inputs) -> None:
        """Wires the components."""
        bucket = inputs.of(export_settings.Settings)
        run = {"run_id": dsl.PIPELINE_JOB_ID_PLACEHOLDER}  # under which they tell notify what the run came to
        notified = configured(notify(**bucket, **run, **inputs.of(notify_settings.Settings)))
        with dsl.ExitHandler(notified, name="run"):
            scanned = configured(scan(**inputs.of(scan_settings.Settings)))
            ingested = configured(
                ingest(
                    batches_digest=scanned.outputs["Output"],
                    **inputs.of(ingest_settings.Settings, scan_settings.Settings),
                ),
                cache=True,
            )
            looked_up = configured(
                lookup(
                    news=ingested.outputs["news"],
                    **bucket,
                    **run,
                    **inputs.of(lookup_settings.Settings, train_settings.Settings),
                )
            )
            with dsl.If(looked_up.outputs["Output"] == True, name="changed"):  # noqa: E712  # an expression
                trained = configured(
                    train(
                        data=ingested.outputs["data"],
                        settings=looked_up.outputs["settings"],
                        **inputs.of(train_settings.Execution),
                    )
                )
                evaluated = configured(
                    evaluate(
                        data=ingested.outputs["data"],
                        model=trained.outputs["model"],
                        **bucket,
                        **run,
                        **inputs.of(Thresholds),
                    )
                )
                with dsl.If(evaluated.outputs["Output"] == True, name="blessed"):  # noqa: E712
                    export_this = functools.partial(
                        export,
                        data=ingested.outputs["data"],
                        model=trained.outputs["model"],
                        evaluation=evaluated.outputs["evaluation"],
                        **bucket,
                        **run,
                    )
                    exported = configured(export_this())
                    with dsl.If(exported.outputs["Output"] == True, name="overtaken"):  # noqa: E712
                        configured(export_this())

    return wired
