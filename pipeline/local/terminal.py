"""A terminal that may go away: what a run says is lost then, what it does is not."""

import sys
from typing import Any

from rich.console import Console

from components.errors import PipelineError


class Terminal(Console):
    """Prints on stdout, in whole lines and without guessing at colours; falls silent once nobody takes it."""

    def __init__(self) -> None:
        super().__init__(file=sys.stdout, highlight=False, soft_wrap=True)

    def print(self, *objects: Any, **options: Any) -> None:
        """As `Console.print`, but a closed pipe, a dropped connection or a full disk is no error.

        To `pipeline.streams`, which this goes through, it is one: for other commands printing is all they do.
        """
        try:
            super().print(*objects, **options)
        except PipelineError:
            self.quiet = True
