"""Nodes and resources: typed, in one target's terms, refused in words."""

import re
from typing import Any

import pytest
from pydantic import ValidationError

from components.errors import UsageError
from pipeline.compile.nodes import KfpNodes, Resources, Toleration, VertexNodes, in_seconds, nodes_for
from pipeline.compile.target import Target


@pytest.mark.parametrize(
    ("target", "arguments", "message"),
    [
        (
            Target.KFP,
            ("NVIDIA_TESLA_T4",),
            "--accelerator-type=NVIDIA_TESLA_T4: must be a Kubernetes resource such as nvidia.com/gpu, "
            "or none (target kfp)",
        ),
        (
            Target.VERTEX,
            ("nvidia.com/gpu",),
            "--accelerator-type=nvidia.com/gpu: must be a Vertex AI type such as NVIDIA_TESLA_T4, or none "
            "(target vertex)",
        ),
        (Target.KFP, ("", 0), "--accelerator-count=0: must be at least 1 (target kfp)"),
        (Target.KFP, ("", 17), "--accelerator-count=17: must be at most 16 (target kfp)"),
        (Target.VERTEX, ("", 3), "--accelerator-count=3: must be one of 1, 2, 4, 8, 16 (target vertex)"),
        (Target.KFP, ("none", 2), "--accelerator-count=2: needs an accelerator"),
        (
            Target.VERTEX,
            ("", 1, {"pool": "gpus"}),
            "--node-selector: target vertex chooses the node by the accelerator; only for kfp",
        ),
        (
            Target.KFP,
            ("", 1, {"pool": "two words"}),
            "--node-selector=two words: must be the value",
        ),
    ],
)
def test_flags_in_another_targets_terms_are_refused(
    target: Target, arguments: tuple[Any, ...], message: str
) -> None:
    with pytest.raises(UsageError, match=f"^{re.escape(message)}") as error:
        nodes_for(target, *arguments)
    assert "\n" not in str(error.value)


def test_without_flags_train_gets_one_accelerator_of_the_targets_usual_type() -> None:
    assert nodes_for(Target.KFP) == KfpNodes(accelerator="nvidia.com/gpu", count=1)
    assert nodes_for(Target.VERTEX) == VertexNodes(accelerator="NVIDIA_TESLA_T4", count=1)
    assert not nodes_for(Target.KFP, "none").has_accelerator


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"key": "team", "value": "ml"}, "value=ml: operator Exists has none"),
        ({"key": "", "operator": "Equal"}, "key: may be empty"),
    ],
)
def test_a_toleration_that_kubernetes_would_refuse_is_refused(wanted: dict[str, str], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Toleration.model_validate(wanted)


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("45m", 2_700), ("6h", 21_600), ("2d", 172_800)])
def test_a_time_limit_has_a_unit(text: str, seconds: int) -> None:
    limit = Resources(time_limit=text).time_limit
    assert limit is not None
    assert in_seconds(limit) == seconds


@pytest.mark.parametrize("text", ["0s", "49h", "3d", "6", "1.5h", "-1h", "6 h", "9999999s", ""])
def test_a_time_limit_of_another_form_or_length_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="must be"):
        Resources(time_limit=text)


def test_wishes_go_over_figures_one_by_one() -> None:
    figures = Resources(cpu="1", memory="2G", time_limit="1h")
    assert Resources(memory="4G").over(figures) == Resources(cpu="1", memory="4G", time_limit="1h")
    assert Resources().over(figures) == figures
