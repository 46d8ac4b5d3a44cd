"""`mnist-pipeline params`: what `-p` and a file of parameters can set."""

from typing import TYPE_CHECKING, Any

from pipeline.commands import tables

if TYPE_CHECKING:
    from components.parameters import Declaration


def params(as_json: tables.Json = False) -> None:
    """List the pipeline's parameters: type, default, range and what each is for."""
    from pipeline.dag import INPUTS

    records = [_record(declared) for kind in INPUTS for declared in kind.declarations()]
    tables.print_list(records, ("name", "type", "default", "meaning"), as_json=as_json, row=_row)


def _record(declared: "Declaration") -> dict[str, Any]:
    from components.parameters import REQUIRED

    is_required = declared.default is REQUIRED
    return {
        "name": declared.name,
        "type": declared.kind.__name__ if isinstance(declared.kind, type) else str(declared.kind),
        "required": is_required,
        "default": None if is_required else declared.default,
        "allowed": declared.allowed,
        "help": declared.help,
    }


def _row(record: tables.Record) -> tuple[Any, ...]:
    meaning = f"{record['help']} Must be {record['allowed']}."
    return record["name"], record["type"], record["default"], meaning
