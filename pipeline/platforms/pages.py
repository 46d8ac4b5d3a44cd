"""Where a platform shows a run to people."""

from pipeline.environments import KfpEnvironment, RemoteEnvironment

_CONSOLE = "https://console.cloud.google.com/vertex-ai/locations"


def run_page(environment: RemoteEnvironment, run_id: str) -> str:
    """Returns the address of a run's page."""
    if isinstance(environment, KfpEnvironment):
        return f"{environment.host.rstrip('/')}/#/runs/details/{run_id}"
    return f"{_CONSOLE}/{environment.region}/pipelines/runs/{run_id}?project={environment.project}"
