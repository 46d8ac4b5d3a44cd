"""What becomes of batches: their rows sorted, their drift measured, and told in words; pure.

ingest says it of the batches that it learns from, `data check` of files before they are one of these.
"""

import dataclasses
from collections.abc import Sequence

from components.batches import checks, drift
from components.batches.labelled import Labelled, RawImages
from components.batches.sorting import Sorted, sort_out
from components.errors import DataError


@dataclasses.dataclass(frozen=True)
class Candidate:
    """Rows that want in.

    Attributes:
      name: of their batch.
      rows: the rows.
      synthetic: whether a program made the images.
    """

    name: str
    rows: Labelled
    synthetic: bool = False


@dataclasses.dataclass(frozen=True)
class Addition:
    """One batch and what becomes of it.

    Attributes:
      candidate: its rows and their name.
      into: which of them train, validate, test, and how many are kept out.
      drift: population stability index by feature, against the base dataset's rows.
      findings: what is odd about it, in words.
    """

    candidate: Candidate
    into: Sorted
    drift: dict[str, float]
    findings: list[str]

    @property
    def name(self) -> str:
        """The batch's name."""
        return self.candidate.name

    @property
    def rows(self) -> Labelled:
        """All of the batch's rows."""
        return self.candidate.rows

    @property
    def dropped(self) -> dict[str, int]:
        """How many rows are kept out, by reason."""
        into = self.into
        return {
            "duplicates": into.duplicates,
            "conflicts": into.conflicts,
            "test_copies": into.test_copies,
        }

    @property
    def verdict(self) -> str:
        """The feature that drifted most, in words."""
        feature, worst = drift.worst(self.drift)
        return f"drift {worst:.2f} ({feature}, {drift.in_words(worst)})"


def admit(base: Labelled, base_test: RawImages, candidates: Sequence[Candidate]) -> list[Addition]:
    """Says of every batch what becomes of it.

    Args:
      base: the base dataset's training and validation rows.
      base_test: its test images, uint8 [M, 28, 28].
      candidates: in the order of their names; among equal rows the first counts.
    """
    if not candidates:
        return []
    reference = drift.measure(base.images, base.labels)
    places = sort_out(base, base_test, [candidate.rows for candidate in candidates])
    return [
        Addition(
            candidate,
            into,
            drift.psi(reference, drift.measure(candidate.rows.images, candidate.rows.labels)),
            checks.findings(candidate.rows),
        )
        for candidate, into in zip(candidates, places, strict=True)
    ]


def described(addition: Addition) -> str:
    """Returns a line that says what becomes of a batch."""
    into = addition.into
    text = (
        f"batch {addition.name}: {len(addition.rows)} rows, {len(into.train)} train, "
        f"{len(into.validation)} validate, {len(into.test)} test; kept out: {into.duplicates} duplicates, "
        f"{into.conflicts} with conflicting labels, {into.test_copies} copies of test rows; "
        f"{addition.verdict}"
    )
    return "; ".join([text, *addition.findings])


def refuse_drifted(additions: Sequence[Addition], max_drift: float) -> None:
    """Raises DataError that names every batch whose drift is above `max_drift`; 0 refuses none."""
    worst = {addition.name: drift.worst(addition.drift) for addition in additions}
    refused = [
        f"batch {name}: drift {index:.2f} of {feature}"
        for name, (feature, index) in worst.items()
        if max_drift and index > max_drift
    ]
    if refused:
        raise DataError(
            f"{'; '.join(refused)}; above max_drift={max_drift:g}, `data remove` takes a batch away"
        )
