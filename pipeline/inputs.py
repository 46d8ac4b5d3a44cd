"""A pipeline's inputs, taken from where its components declare their parameters.

    @takes(train_settings.Settings, ...)
    def wired(inputs: Inputs) -> None:
        train(..., **inputs.of(train_settings.Execution))

KFP sees a function with one typed argument and one line of help per parameter, so its pages and Vertex AI's
show a form with every one of them, and no list of names is written a second time.
"""

import dataclasses
import inspect
import typing
from collections.abc import Callable, Mapping
from typing import Any

from components.parameters import REQUIRED, Declaration, Parameters

Kind = type[Parameters]
_AS_KFP_READS_IT: dict[Any, Any] = {list[int]: typing.List[int]}  # noqa: UP006  # in every Python it supports


@dataclasses.dataclass(frozen=True)
class Inputs:
    """The inputs of a pipeline that is being wired: name to what KFP passes for it."""

    channels: Mapping[str, Any]

    def of(self, *kinds: Kind) -> dict[str, Any]:
        """Returns those that these components' parameters are."""
        return {name: self.channels[name] for kind in kinds for name in kind.names()}


def takes(*kinds: Kind) -> Callable[[Callable[[Inputs], None]], Callable[..., None]]:
    """Gives a wiring function the arguments that `kinds` declare, those without a default first."""
    declared = sorted(
        (parameter for kind in kinds for parameter in kind.declarations()),
        key=lambda parameter: parameter.default is not REQUIRED,
    )
    signature = inspect.Signature([_argument(parameter) for parameter in declared])

    def decorate(wire: Callable[[Inputs], None]) -> Callable[..., None]:
        def wired(*args: Any, **kwargs: Any) -> None:
            wire(Inputs(signature.bind(*args, **kwargs).arguments))

        lines = [f"    {parameter.name}: {parameter.help}" for parameter in declared]
        wired.__name__ = wire.__name__
        wired.__doc__ = "\n".join([inspect.getdoc(wire) or "", "", "Args:", *lines])
        wired.__signature__ = signature  # type: ignore[attr-defined]  # what `inspect.signature` looks for
        return wired

    return decorate


def _argument(parameter: Declaration) -> inspect.Parameter:
    return inspect.Parameter(
        parameter.name,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
        default=inspect.Parameter.empty if parameter.default is REQUIRED else parameter.default,
        annotation=_AS_KFP_READS_IT.get(parameter.kind, parameter.kind),
    )
