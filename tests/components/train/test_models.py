import numpy as np
import pytest

from components.errors import UsageError
from components.train import models
from components.train.settings import NOTEBOOK_HIDDEN_UNITS, PRECISIONS, Settings
from tests.conftest import untrained

PARAMETERS = {
    "sequential_add": 666_330,
    "sequential_list": 666_330,
    "functional": 55_050,
    "subclass": 666_330,
}


@pytest.mark.parametrize("model_style", PARAMETERS)
def test_each_style_has_the_notebooks_parameter_count(model_style: str) -> None:
    assert untrained(model_style, [], seed=0).count_params() == PARAMETERS[model_style]


def test_the_builders_are_the_declared_styles() -> None:
    assert list(models.BUILDERS) == list(NOTEBOOK_HIDDEN_UNITS) == list(PARAMETERS)


def test_same_layers_and_seed_give_the_same_outputs_in_every_style() -> None:
    images = np.random.default_rng(0).random((50, 784), np.float32)
    outputs = [np.asarray(untrained(style, [40, 20], seed=3)(images)) for style in models.BUILDERS]
    for other in outputs[1:]:
        np.testing.assert_array_equal(outputs[0], other)
    assert outputs[0].shape == (50, 10)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("model_style", PARAMETERS)
def test_hidden_layers_compute_in_the_precision_that_is_asked_for(model_style: str, precision: str) -> None:
    """The head stays in float32, and so do all weights."""
    *hidden, head = untrained(model_style, [8, 4], precision=precision).layers[-3:]
    assert [layer.compute_dtype for layer in hidden] == [precision.removeprefix("mixed_")] * 2
    assert head.compute_dtype == "float32"
    assert {layer.variable_dtype for layer in (*hidden, head)} == {"float32"}


def test_another_seed_gives_other_weights() -> None:
    one, other = (untrained("functional", [8], seed=seed).get_weights()[0] for seed in (0, 1))
    assert not np.array_equal(one, other)


def test_layers_do_not_start_with_each_others_weights() -> None:
    first, _, second, *_ = untrained("functional", [784, 784], seed=0).get_weights()
    assert not np.array_equal(first, second)


def test_hidden_units_replace_the_notebooks() -> None:
    assert untrained("subclass", [5], seed=0).count_params() == 785 * 5 + 6 * 10


def test_unknown_style_lists_the_known_ones() -> None:
    with pytest.raises(
        UsageError, match="'nope': must be one of sequential_add, sequential_list, functional"
    ):
        Settings(model_style="nope")
