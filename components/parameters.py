"""Parameters, declared once: type, default, range and help of each, for every place that shows or checks it.

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Settings(Parameters):
        epochs: int = parameter(WholeNumber(1, 10_000), "Passes over the training rows.", default=10)

    Settings(epochs=0)                     # UsageError: epochs=0: must be a whole number from 1 to 10000
    Settings.read({"epochs": 3.0}).epochs  # 3: KFP turns an int inside a list or dict into a float

Pure and quick to import, so that a launcher refuses a bad value before anything starts.
"""

import dataclasses
import difflib
import hashlib
import json
import math
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Protocol, Self

from components.errors import UsageError, quoted

REQUIRED = dataclasses.MISSING  # the default of a parameter that has none


class Range(Protocol):
    """What a parameter may be."""

    @property
    def words(self) -> str:
        """What goes after `must be`."""

    def read(self, field: str, value: Any, /) -> Any:
        """Returns `value` as its declared type; raises UsageError that names `field` and what is allowed."""


@dataclasses.dataclass(frozen=True)
class WholeNumber:
    """From `minimum` to `maximum`, both included."""

    minimum: int
    maximum: int

    @property
    def words(self) -> str:
        """See `Range`."""
        return f"a whole number from {self.minimum} to {self.maximum}"

    def read(self, field: str, value: Any) -> int:
        """See `Range`."""
        if not _is_number(value) or value != int(value) or not self.minimum <= value <= self.maximum:
            raise _refused(field, value, self)
        return int(value)


@dataclasses.dataclass(frozen=True)
class Number:
    """From `minimum` to `maximum`; without `minimum` itself where `above`."""

    minimum: float
    maximum: float = math.inf
    above: bool = False

    @property
    def words(self) -> str:
        """See `Range`."""
        if self.maximum == math.inf:
            return f"a finite number {'greater than' if self.above else 'of at least'} {self.minimum:g}"
        return f"a number from {self.minimum:g} to {self.maximum:g}"

    def read(self, field: str, value: Any) -> float:
        """See `Range`."""
        is_low = _is_number(value) and (value < self.minimum or (self.above and value == self.minimum))
        if not _is_number(value) or is_low or value > self.maximum:
            raise _refused(field, value, self)
        return float(value)


@dataclasses.dataclass(frozen=True)
class Fraction:
    """From 0 to 1."""

    words: str = "a fraction from 0 to 1"

    def read(self, field: str, value: Any) -> float:
        """See `Range`."""
        if not _is_number(value) or not 0 <= value <= 1:
            raise _refused(field, value, self)
        return float(value)


@dataclasses.dataclass(frozen=True)
class OneOf:
    """One of a few words."""

    known: tuple[str, ...]

    @property
    def words(self) -> str:
        """See `Range`."""
        return f"one of {', '.join(self.known)}"

    def read(self, field: str, value: Any) -> str:
        """See `Range`."""
        if value not in self.known:
            raise _refused(field, value, self)
        return str(value)


@dataclasses.dataclass(frozen=True)
class Flag:
    """True or false."""

    words: str = "true or false"

    def read(self, field: str, value: Any) -> bool:
        """See `Range`."""
        if not isinstance(value, bool):
            raise _refused(field, value, self)
        return value


@dataclasses.dataclass(frozen=True)
class WholeNumbers:
    """A list of whole numbers, possibly empty.

    Attributes:
      each: what one of them may be.
      most: how many there may be.
    """

    each: WholeNumber
    most: int

    @property
    def words(self) -> str:
        """See `Range`."""
        one = f"from {self.each.minimum} to {self.each.maximum}"
        return f"a list of at most {self.most} whole numbers {one}"

    def read(self, field: str, value: Any) -> list[int]:
        """See `Range`."""
        if not isinstance(value, list | tuple) or len(value) > self.most:
            raise _refused(field, value, self)
        try:
            return [self.each.read(field, item) for item in value]
        except UsageError:
            raise _refused(field, value, self) from None


@dataclasses.dataclass(frozen=True)
class Text:
    """Text of a form that a function checks.

    Attributes:
      words: what goes after `must be`.
      check: takes field and value; raises UsageError.
    """

    words: str
    check: Callable[[str, str], object] | None = None

    def read(self, field: str, value: Any) -> str:
        """See `Range`."""
        if not isinstance(value, str):
            raise _refused(field, value, self)
        if self.check:
            self.check(field, value)
        return value


def parameter(accepts: Range, help_text: str, default: Any = REQUIRED) -> Any:
    """Declares one parameter of a `Parameters` dataclass.

    Args:
      accepts: what it may be.
      help_text: what it decides, for every page and terminal that shows it.
      default: what it is if nobody says; without one it must be given.
    """
    metadata = {"accepts": accepts, "help": help_text}
    if isinstance(default, list):
        return dataclasses.field(default_factory=lambda: list(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class Declaration:
    """One parameter as it is shown.

    Attributes:
      kind: int, float, str, bool or list[int].
      default: REQUIRED where it has none.
      allowed: its range in words.
    """

    name: str
    kind: type
    default: Any
    allowed: str
    help: str


class Parameters:
    """A frozen dataclass of parameters; one that exists is valid."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    def __post_init__(self) -> None:
        """Gives every value its declared type, or raises UsageError for the first that is out of range."""
        for field in dataclasses.fields(self):
            accepts: Range = field.metadata["accepts"]
            object.__setattr__(self, field.name, accepts.read(field.name, getattr(self, field.name)))

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Returns the parameters' names in the order of their declaration."""
        return tuple(field.name for field in dataclasses.fields(cls))

    @classmethod
    def declarations(cls) -> tuple[Declaration, ...]:
        """Returns what there is to show of each parameter."""
        return tuple(
            Declaration(
                name=field.name,
                kind=field.type,  # type: ignore[arg-type]  # no module of parameters postpones annotations
                default=field.default_factory()
                if field.default_factory is not dataclasses.MISSING
                else field.default,
                allowed=field.metadata["accepts"].words,
                help=field.metadata["help"],
            )
            for field in dataclasses.fields(cls)
        )

    @classmethod
    def read(cls, given: Mapping[str, Any], where: str = "settings") -> Self:
        """Reads all parameters from a mapping that holds them and nothing else.

        Raises:
          UsageError: a value is out of its range; or every unknown and every missing key, in one line.
        """
        known = cls.names()
        unknown = [f"no such key {name}{_hint(name, known)}" for name in given if name not in known]
        missing = [f"lacks {name}" for name in known if name not in given]
        if unknown or missing:
            raise UsageError(f"{where}: {'; '.join([*unknown, *missing])}; its keys are {', '.join(known)}")
        return cls(**given)

    @classmethod
    def among(cls, given: Mapping[str, Any]) -> Self:
        """Reads all parameters from a mapping that holds others too; raises UsageError as `read` does."""
        return cls.read({name: given[name] for name in cls.names() if name in given}, "parameters")

    def as_dict(self) -> dict[str, Any]:
        """Returns the values by name, as `read` takes them."""
        return dataclasses.asdict(self)

    def fingerprint(self) -> str:
        """Returns a SHA-256, hex, that is equal for equal values and for no others."""
        return hashlib.sha256(json.dumps(self.as_dict(), sort_keys=True).encode()).hexdigest()


def _hint(name: object, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(str(name), list(known), n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def _is_number(value: Any) -> bool:
    """Whether it is one that a float can hold; a whole number of 400 digits is none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _refused(field: str, value: Any, accepts: Range) -> UsageError:
    return UsageError(f"{field}={quoted(value)}: must be {accepts.words}")
