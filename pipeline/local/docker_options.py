"""What a person may say about a local run in containers."""

import dataclasses
from pathlib import Path

from components.errors import UsageError

NO_NETWORK = "none"


@dataclasses.dataclass(frozen=True)
class Options:
    """What only a run in containers takes.

    Attributes:
      registry: as `references.resolve` takes it; so are `tag` and `digests`.
      tag: the images' tag.
      digests: file that pins the images.
      network: an engine network (`bridge`, `host`, …) or `none`.
      gpus: what train gets: `all`, a count, or empty for none.
      memory: what each task may use, as `4G`; empty for what the DAG asks for.
    """

    registry: str = ""
    tag: str = ""
    digests: Path | None = None
    network: str = NO_NETWORK
    gpus: str = ""
    memory: str = ""

    def check_unused(self) -> None:
        """Raises UsageError that names an option which was given, for a run without containers."""
        for field in dataclasses.fields(self):
            if getattr(self, field.name) != field.default:
                raise UsageError(f"--{field.name}: needs --runner docker")
