"""The KFP face of notify, the exit handler."""

from kfp import dsl


@dsl.component(base_image="mnist-pipeline/notify", install_kfp_package=False)
def notify(status: dsl.PipelineTaskFinalStatus, notify_webhook: str) -> None:
    """Says how a run ended, in the log and to a webhook; runs on success and failure alike.

    Args:
        status: How the tasks ended, from the platform.
        notify_webhook: https:// address that gets a JSON POST, or env:NAME of a variable that holds it;
            empty for the log alone.
    """
    from components.errors import reported
    from components.notify import core

    with reported():
        core.notify(
            state=status.state,
            run=status.pipeline_job_resource_name,
            error_message=status.error_message or "",
            notify_webhook=notify_webhook,
        )
