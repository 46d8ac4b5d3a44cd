"""Changes a SavedModel's graph at random, and has it checked, loaded and asked.

    python -m tests.sweeps.models_sweep --models 500 --seed 1     # prints numerators and denominators

What a stranger may have put into a bucket ends in one line or answers as a digit classifier does; nothing
else is raised, and no file is written by it.
"""

import argparse
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from components.errors import DataError
from components.model import prediction_process
from tests.components.model.test_graph_check import classify, export_module

IMAGES = np.zeros((2, 28, 28), np.uint8)
NUMBERS = (-1, 0, 1, 5, 999, 2**31 - 1)


def fields_of(message: Any) -> Iterator[tuple[Any, Any]]:
    """Yields every field that is set, with the message that it is in, all the way down."""
    for field, value in message.ListFields():
        yield message, field
        if field.message_type is None:
            continue
        is_map = field.message_type.GetOptions().map_entry
        inner = value.values() if is_map else value if field.is_repeated else [value]
        for each in inner:
            if hasattr(each, "ListFields"):
                yield from fields_of(each)


def change(message: Any, field: Any, chance: random.Random) -> None:
    """Changes one field: clears it, or a part of it, doubles an entry or puts another value there."""
    value = getattr(message, field.name)
    if chance.random() < 0.3:
        message.ClearField(field.name)
    elif field.message_type and field.message_type.GetOptions().map_entry:
        del value[chance.choice(sorted(value))]
    elif field.is_repeated and chance.random() < 0.5:
        value.extend([chance.choice(value)])
    elif field.is_repeated:
        del value[chance.randrange(len(value))]
    elif field.message_type:
        message.ClearField(field.name)
    else:
        setattr(message, field.name, another(value, chance))


def another(value: object, chance: random.Random) -> object:
    """Returns another value of the same kind."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, bytes):
        return value + b"x"
    return f"{value}x" if isinstance(value, str) else chance.choice(NUMBERS)


def changed(plain: Path, directory: Path, chance: random.Random) -> str:
    """Writes a copy of a model with one to three changes to its graph; returns what they were made to."""
    from tensorflow.core.protobuf import saved_model_pb2

    shutil.copytree(plain, directory)
    path = directory / "saved_model.pb"
    graph = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    names = []
    for message, field in chance.sample(list(fields_of(graph.meta_graphs[0])), chance.choice([1, 1, 2, 3])):
        try:
            change(message, field, chance)
        except (ValueError, IndexError, TypeError):  # a value that the field does not take, or gone since
            continue
        names.append(field.full_name)
    path.write_bytes(graph.SerializeToString())
    return ", ".join(names)


def outcome(model_dir: Path) -> str:
    """Checks, loads and asks a model; returns what came of it."""
    try:
        answer = prediction_process.predict(str(model_dir), IMAGES)
    except DataError as error:
        return "refused" if "\n" not in str(error) else "said in more than one line"
    except Exception as error:  # what would be a traceback: this is the finding
        return f"{type(error).__name__}: {error}"
    return "answered" if answer.shape == (2, 10) else f"answered {answer.shape}"


def sweep(root: Path, models: int, seed: int) -> tuple[Counter[str], list[str]]:
    """Tries so many models; returns how often each good outcome came, and what was not good."""
    plain = export_module(root / "plain", classify)
    seen: Counter[str] = Counter()
    bad = []
    for number in range(models):
        chance = random.Random(f"{seed}/{number}")
        model_dir = root / "model"
        changes = changed(plain, model_dir, chance)
        before = sorted(root.rglob("*"))
        came = outcome(model_dir)
        written = [path.name for path in sorted(root.rglob("*")) if path not in before]
        if came in ("refused", "answered") and not written:
            seen[came] += 1
        else:
            bad.append(f"{seed}/{number} ({changes}): {came} {written}")
        shutil.rmtree(model_dir)
    return seen, bad


def main() -> None:
    """Tries models and prints what came of it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        seen, bad = sweep(Path(scratch), chosen.models, chosen.seed)
    counts = f"refused in one line {seen['refused']}, answered {seen['answered']}, others {len(bad)}"
    print(f"{counts}, of {chosen.models}", *bad, sep="\n  ")
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
