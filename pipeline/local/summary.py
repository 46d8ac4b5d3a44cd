"""The end of a local run, as a person reads it."""

import json
import shlex
import sys
from pathlib import Path

from pipeline.local.run import Outcome
from pipeline.local.terminal import Terminal


def show(outcome: Outcome) -> None:
    """Prints accuracy, verdict, where things are and how to use the model."""
    terminal = Terminal()
    evaluation = outcome.evaluation
    terminal.print()
    if evaluation is None:
        terminal.print("unchanged: a model of this data, code and parameters is published already")
        return
    rows = [
        ("accuracy", f"{evaluation['accuracy']:.4f} on {evaluation['rows']:,} test rows"),
        ("verdict", evaluation["reason"]),
        ("report", _relative(str(outcome.run_dir / "report.html"))),
        ("curves", _relative(str(outcome.run_dir / "curves.html"))),
    ]
    if outcome.model_uri:
        rows.append(("model", _relative(outcome.model_uri)))
        rows.append(_use(_relative(outcome.model_uri)))
    for name, text in rows:
        terminal.print(f"[bold]{name:<9}[/] ", end="")
        terminal.print(text, markup=False)


def _use(model_uri: str) -> tuple[str, str]:
    """The command that loads the model; that fetches it, verified, where TensorFlow cannot read it."""
    if "://" not in model_uri:
        return "load", _load_command(model_uri)
    bucket_uri, _, version = model_uri.removesuffix("/model").rpartition("/versions/")
    fetch = f"models download output/model --version {version[:12]} --bucket {shlex.quote(bucket_uri)}"
    return "download", f"{shlex.quote(_relative(sys.executable))} -m pipeline {fetch}"


def _load_command(model_uri: str) -> str:
    """A command that answers an image of a digit's worth of raw pixels."""
    code = (
        "import tensorflow as tf; "
        f"model = tf.saved_model.load({json.dumps(model_uri)}); "
        'print(model.signatures["serving_default"](images=tf.zeros([1, 28, 28], tf.uint8)))'
    )
    return f"{shlex.quote(_relative(sys.executable))} -c {shlex.quote(code)}"


def _relative(uri: str) -> str:
    """Shorter where it can be: relative to where the person is."""
    return uri.removeprefix(f"{Path.cwd()}/")
