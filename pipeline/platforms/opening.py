"""Which platform an environment names; its client is imported when it is opened, not before."""

from components.errors import UsageError
from components.imports import uncollected
from pipeline.environments import KfpEnvironment, RemoteEnvironment, VertexEnvironment
from pipeline.platforms.platform import Platform


def open_platform(environment: RemoteEnvironment) -> Platform:
    """Connects to the environment's platform; its client is imported here, not before."""
    match environment:
        case KfpEnvironment():
            from pipeline.platforms.kfp import KfpPlatform

            return KfpPlatform(environment)
        case VertexEnvironment():
            try:
                with uncollected():
                    from pipeline.platforms.vertex import VertexPlatform
            except ImportError as error:
                raise UsageError(
                    f"environment {environment.name}: {error.name} is not installed; "
                    "`make submit ENV=…` installs requirements/submit.txt"
                ) from None

            return VertexPlatform(environment)
