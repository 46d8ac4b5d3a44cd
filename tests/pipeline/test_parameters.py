from pathlib import Path
from typing import Any

import pytest

from components.errors import UsageError
from pipeline.compile.documents import local_spec
from pipeline.images.references import CHECKOUT
from pipeline.parameters import resolve

PARAMETER_FILES = sorted((CHECKOUT / "pipeline" / "parameters").glob("*.yaml"))
BUCKET = "bucket_uri=/models"


@pytest.fixture(scope="module")
def spec() -> dict[str, Any]:
    return local_spec()


def test_defaults_are_the_dags(spec: dict[str, Any]) -> None:
    values = resolve(spec, [BUCKET])
    assert values["epochs"] == 10
    assert type(values["epochs"]) is int
    assert values["pixel_scale"] == 255.0
    assert values["hidden_units"] == []
    assert values["bucket_uri"] == "/models"


def test_values_are_converted_by_the_declared_type_and_split_on_the_first_equals_sign(
    spec: dict[str, Any],
) -> None:
    assignments = ["epochs=3", "learning_rate=1e-2", "holdout=False", "hidden_units=[8, 4]", "mirror=/a=b"]
    values = resolve(spec, [BUCKET, *assignments])
    assert (values["epochs"], values["learning_rate"], values["holdout"]) == (3, 0.01, False)
    assert (values["hidden_units"], values["mirror"]) == ([8, 4], "/a=b")


def test_the_command_line_beats_files_beat_fallbacks_beat_defaults(
    spec: dict[str, Any], tmp_path: Path
) -> None:
    one, two = tmp_path / "one.yaml", tmp_path / "two.yaml"
    one.write_text("epochs: 2\nseed: 2\nbatch_size: 2\n", encoding="utf-8")
    two.write_text("epochs: 3\nseed: 3\n", encoding="utf-8")
    fallbacks = {"batch_size": 9, "bucket_uri": "/fallback"}
    values = resolve(spec, ["epochs=4"], [one, two], fallbacks)
    assert (values["epochs"], values["seed"], values["batch_size"]) == (4, 3, 2)
    assert values["bucket_uri"] == "/fallback"


@pytest.mark.parametrize(
    ("assignments", "message"),
    [
        (["epochs=ten"], "epochs='ten': must be a whole number (from -p)"),
        (["epochs=1.5"], "epochs='1.5': must be a whole number (from -p)"),
        (["epochs="], "epochs='': must be a whole number (from -p)"),
        (["epochs=0"], "epochs=0: must be a whole number from 1 to 10000 (from -p)"),
        (["batch_size=0"], "batch_size=0: must be a whole number from 1 to "),
        (["learning_rate=0"], "learning_rate=0.0: must be a finite number greater than 0 (from -p)"),
        (["learning_rate=-1"], "learning_rate=-1.0: must be"),
        (["learning_rate=nan"], "learning_rate=nan: must be"),
        (["learning_rate=inf"], "learning_rate=inf: must be"),
        (["augment_factor=0"], "augment_factor=0: must be a whole number from 1 to 100 (from -p)"),
        (["validation_rows=0"], "validation_rows=0: must be a whole number from 1 to 1000000000"),
        (["min_accuracy=1.01"], "min_accuracy=1.01: must be a fraction from 0 to 1 (from -p)"),
        (["model_style=nope"], "must be one of sequential_add, sequential_list, functional, subclass"),
        (["dataset=cifar10"], "dataset='cifar10': must be one of mnist, fashion_mnist, kmnist (from -p)"),
        (["holdout=yes"], "holdout='yes': must be true or false (from -p)"),
        (["hidden_units=64"], "hidden_units=64: must be a JSON list (from -p)"),
        (["hidden_units=[64"], "hidden_units='[64': must be a JSON list (from -p)"),
        (["hidden_units=[true]"], "hidden_units=[True]: must be a list of at most 16 whole numbers"),
        (["epoch=3"], "epoch: no such parameter (from -p); did you mean epochs? known: augment_factor, "),
        (["epochs"], "-p epochs: must be name=value"),
        (["=3"], "-p =3: must be name=value"),
        (["epochs=3", "epochs=4"], "-p epochs=4: epochs was already set to '3'"),
        (["bucket_uri=s3://models"], "(from -p)"),
    ],
)
def test_a_bad_assignment_is_one_line_with_what_is_allowed(
    spec: dict[str, Any], assignments: list[str], message: str
) -> None:
    with pytest.raises(UsageError) as error:
        resolve(spec, assignments, fallbacks={"bucket_uri": "/models"})
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "assignments",
    [
        ["epochs=" + "9" * 400],
        ["epochs=" + "9" * 5_000],
        ["learning_rate=" + "9" * 400],
        ["hidden_units=[" + "9" * 400 + "]"],
        ["hidden_units=" + "[" * 100_000],
        ["hidden_units=[" + "1," * 100_000 + "1]"],
        ["model_style=" + "x" * 100_000],
        ["x" * 100_000 + "=1"],
        ["x" * 100_000],
        ["epochs=1", "epochs=" + "9" * 100_000],
        ["bucket_uri=" + "x" * 100_000],
        ["mirror=" + "x://" * 100_000],
        ["notify_webhook=" + "x" * 100_000],
    ],
    ids=lambda assignments: assignments[-1][:20],
)
def test_a_value_of_any_length_is_refused_in_a_line_that_a_person_can_read(
    spec: dict[str, Any], assignments: list[str]
) -> None:
    with pytest.raises(UsageError) as error:
        resolve(spec, assignments, fallbacks={"bucket_uri": "/models"})
    assert len(str(error.value)) < 1_000
    assert "(from -p)" in str(error.value) or str(error.value).startswith("-p ")


def test_a_parameter_without_default_must_be_given(spec: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"^bucket_uri: has no default, set it with -p bucket_uri="):
        resolve(spec, [])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("epochs: ten", "epochs='ten': must be a whole number (from "),
        ("epochs: 1.5", "epochs=1.5: must be a whole number (from "),
        ("epochs: true", "epochs=True: must be a whole number (from "),
        ("epochs: 0", "epochs=0: must be a whole number from 1 to 10000 (from "),
        ("model_style: 3", "model_style=3: must be text (from "),
        ("epochs: 3\nepochs: 4", "epochs is given twice"),
        ("epoch: 3", "epoch: no such parameter (from "),
        ("1: 3", "1: no such parameter (from "),
        ("- epochs", "must be a mapping of names to values"),
        ("", "must be a mapping of names to values"),
        ("epochs: [", "is not YAML: "),
        ("epochs: !!python/object/apply:os.system [echo]", "mine.yaml:1:9: a tag is not allowed"),
        ("epochs: 010\nlearning_rate: 1e-3\nseed: -1", "seed=-1: must be a whole number from 0"),
        ("model_style: 2026-02-30", "model_style='2026-02-30': must be one of "),
        ("holdout: yes", "holdout='yes': must be true or false (from "),
    ],
)
def test_a_bad_file_is_one_line_that_names_it(
    spec: dict[str, Any], content: str, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UsageError) as error:
        resolve(spec, [BUCKET], [path])
    assert message in str(error.value)
    assert "mine.yaml" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_file_is_said(spec: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.yaml: cannot be read: No such file"):
        resolve(spec, [BUCKET], [tmp_path / "none.yaml"])


@pytest.mark.parametrize("path", PARAMETER_FILES, ids=lambda path: path.stem)
def test_the_files_of_the_project_are_accepted(path: Path, spec: dict[str, Any]) -> None:
    resolve(spec, [BUCKET], [path])


def test_there_is_a_file_for_each_cell_of_the_notebook(spec: dict[str, Any]) -> None:
    cells = {
        resolve(spec, [BUCKET], [path])["model_style"]: resolve(spec, [BUCKET], [path])
        for path in PARAMETER_FILES
        if path.stem.startswith("notebook-")
    }
    assert {style: (cell["hidden_units"], cell["epochs"]) for style, cell in cells.items()} == {
        "sequential_add": ([784, 64], 10),
        "sequential_list": ([784, 64], 3),
        "functional": ([64, 64], 10),
        "subclass": ([784, 64], 10),
    }
    for cell in cells.values():
        assert (cell["pixel_scale"], cell["batch_size"]) == (225.0, 64)
        assert (cell["validation_rows"], cell["holdout"]) == (10_000, False)


def test_a_mapping_that_was_read_already_is_typed_and_named_like_a_file(spec: dict[str, Any]) -> None:
    given = {"nightly.yaml: parameters": {"epochs": 3, "bucket_uri": "gs://models"}}
    assert resolve(spec, ["seed=1"], mappings=given)["epochs"] == 3
    for wrong, message in (
        ({"epoch": 3}, "epoch: no such parameter (from nightly.yaml: parameters); did you mean epochs?"),
        ({"epochs": "ten"}, "epochs='ten': must be a whole number (from nightly.yaml: parameters)"),
        ({"epochs": 0}, "epochs=0: must be a whole number from 1 to 10000 (from nightly.yaml: parameters)"),
    ):
        with pytest.raises(UsageError) as error:
            resolve(spec, [BUCKET], mappings={"nightly.yaml: parameters": wrong})
        assert message in str(error.value)
