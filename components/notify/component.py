"""The KFP face of notify, the exit handler."""

from kfp import dsl


@dsl.component(base_image="mnist-pipeline/notify", install_kfp_package=False)
def notify(
    status: dsl.PipelineTaskFinalStatus,
    bucket_uri: str,
    run_id: str,
    notify_webhook: str,
    run_page: str,
) -> None:
    """Says how a run ended and what came of it, in the log and to a webhook; on success and failure alike.

    Args:
        status: How the tasks ended, from the platform.
        bucket_uri: Bucket in which the run left its verdict; gs://bucket/prefix or a directory.
        run_id: The run's id, under which it did.
    """
    from components.errors import reported
    from components.notify import core

    with reported():
        core.notify(
            state=status.state,
            run=status.pipeline_job_resource_name,
            run_id=run_id,
            error_message=status.error_message or "",
            bucket_uri=bucket_uri,
            notify_webhook=notify_webhook,
            run_page=run_page,
        )
