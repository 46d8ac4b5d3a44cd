"""`python -m pipeline models …`: look after the models that were published to a bucket."""

from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from components.errors import DataError, GateError, StorageError, UsageError
from components.registry import collecting, publishing, reading, signing
from components.registry.manifest import Manifest, Pointer
from components.storage import opening
from components.storage import uri as uri_forms
from components.storage.bucket import Bucket as OpenBucket
from pipeline.commands import options, tables

models_app = typer.Typer(no_args_is_help=True, help="List, verify, promote, roll back and clean up models.")

Bucket = Annotated[
    str, typer.Option(metavar="URI", callback=options.at_home, help="gs://bucket/prefix or a directory.")
]
Deadline = Annotated[
    float | None, typer.Option(metavar="SECONDS", help="Give a store up that fails for so long; default 120.")
]
SigningKey = Annotated[
    Path, typer.Option(metavar="FILE", callback=options.at_home, help="Private key (PEM, elliptic curve).")
]
MinServing = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="N", help="Refuse a champion with a smaller serving number: it was turned back."
    ),
]
PointerKey = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        callback=options.at_home,
        help="Private key (PEM) to sign the pointer with, where that is needed.",
    ),
]
Version = Annotated[str, typer.Argument(help="The version's first 6 or more digits, or: champion.")]


@models_app.command(name="list")
def list_(
    bucket: Bucket = "",
    deadline: Deadline = None,
    verify_key: options.VerifyKey = None,
    as_json: tables.Json = False,
) -> None:
    """Show every published version, newest first, and which one is the champion."""
    opened = _open(bucket, deadline, verify_key)
    pointer, _ = reading.read_pointer(opened)
    records, damaged = [], []
    for version in reading.published_versions(opened):
        try:
            records.append(_record(reading.read_manifest(opened, version), pointer))
        except (DataError, GateError) as error:
            damaged.append({"version": version, "refused": str(error)})
    records.sort(key=lambda record: str(record["created"]), reverse=True)
    columns = ("version", "accuracy", "created", "champion", "provenance")
    tables.print_list([*records, *damaged], columns, as_json=as_json, row=_row)
    if damaged:
        raise DataError(f"{opened.uri}: {len(damaged)} of {len(records) + len(damaged)} versions are refused")


@models_app.command()
def show(
    version: Version = "champion",
    bucket: Bucket = "",
    deadline: Deadline = None,
    verify_key: options.VerifyKey = None,
    min_serving: MinServing = None,
    as_json: tables.Json = False,
) -> None:
    """Show where a version came from and what it consists of."""
    reading.set_min_serving(min_serving)
    opened = _open(bucket, deadline, verify_key)
    manifest = reading.read_manifest(opened, reading.find_version(opened, version))
    pointer, _ = reading.read_pointer(opened)
    record = _record(manifest, pointer) | {
        "uri": f"{opened.uri}/{reading.model_prefix(manifest.version)}".rstrip("/"),
        "files": [{"path": file.path, **asdict(file.digest)} for file in manifest.files],
    }
    own = ((name, record[name]) for name in ("version", "champion", "serving", "created", "uri"))
    files = (
        (f"file {file.path}", f"{file.digest.size} bytes, sha256 {file.digest.sha256}")
        for file in manifest.files
    )
    facts = [*own, *sorted(manifest.provenance.items()), *files]
    tables.print_facts(record, as_json=as_json, rows=facts)


@models_app.command()
def verify(
    version: Annotated[
        str, typer.Argument(help="One version; every one and what is served if not given.")
    ] = "",
    bucket: Bucket = "",
    deadline: Deadline = None,
    verify_key: options.VerifyKey = None,
    min_serving: MinServing = None,
) -> None:
    """Read every byte and compare with the manifests; exit code not 0 if anything differs."""
    reading.set_min_serving(min_serving)
    opened = _open(bucket, deadline, verify_key)
    if version:
        manifest = reading.verify_version(opened, reading.find_version(opened, version))
        typer.echo(f"verified {manifest.version}, {len(manifest.files)} files")
        return
    champion = reading.read_champion(opened)
    versions = reading.published_versions(opened)
    checks: list[Callable[[], object]] = [partial(reading.verify_version, opened, name) for name in versions]
    if champion:
        checks.append(partial(reading.verify_serving, opened, champion))
    problems = [problem for check in checks if (problem := _problem_of(check))]
    for problem in problems[:-1]:
        typer.echo(f"error: {problem}", err=True)
    if problems:
        raise problems[-1]
    if not versions:
        raise DataError(f"{opened.uri}: nothing is published here")
    named = f", champion {champion.version[:12]} and what is served" if champion else ", no champion"
    typer.echo(f"verified {len(versions)} of {len(versions)} versions{named}")


@models_app.command()
def promote(
    version: Version,
    bucket: Bucket = "",
    deadline: Deadline = None,
    verify_key: options.VerifyKey = None,
    signing_key: PointerKey = None,
) -> None:
    """Verify a version and make it the champion, without the gate: you decide."""
    opened = _open(bucket, deadline, verify_key, signing_key)
    _promote(opened, reading.find_version(opened, version))


@models_app.command()
def rollback(
    version: Annotated[str, typer.Argument(help="Where to; the champion before this one if not given.")] = "",
    bucket: Bucket = "",
    deadline: Deadline = None,
    verify_key: options.VerifyKey = None,
    signing_key: PointerKey = None,
) -> None:
    """Verify an earlier version and make it the champion again; once more goes one further back."""
    opened = _open(bucket, deadline, verify_key, signing_key)
    _promote(opened, reading.find_version(opened, version) if version else _previous(opened))


@models_app.command()
def download(
    directory: Annotated[
        Path, typer.Argument(callback=options.at_home, help="A directory that is empty or does not exist.")
    ],
    version: Annotated[str, typer.Option(help="First digits of a version.")] = "champion",
    bucket: Bucket = "",
    deadline: Deadline = None,
    verify_key: options.VerifyKey = None,
    min_serving: MinServing = None,
) -> None:
    """Download a version, verified; all of it or nothing."""
    uri_forms.check_model_path(directory.absolute(), "DIRECTORY")
    reading.set_min_serving(min_serving)
    opened = _open(bucket, deadline, verify_key)
    manifest = reading.download_version(opened, reading.find_version(opened, version), directory)
    typer.echo(f"downloaded {manifest.version} to {directory}")


@models_app.command()
def gc(
    keep: Annotated[int, typer.Option(min=0, help="Newest versions to keep beside the champion.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    bucket: Bucket = "",
    deadline: Deadline = None,
    verify_key: options.VerifyKey = None,
) -> None:
    """Delete old versions and unfinished ones; never the champion or anything of the last day."""
    opened = _open(bucket, deadline, verify_key)
    doomed = collecting.plan(opened, keep)
    gone = doomed if dry_run else collecting.collect(opened, doomed)
    for each in gone:
        typer.echo(f"{'would delete' if dry_run else 'deleted'} {each.prefix} ({each.reason})")
    typer.echo(f"{len(gone)} of {len(doomed)} {'would go' if dry_run else 'gone'}")


@models_app.command()
def sign(
    version: Version,
    signing_key: SigningKey,
    bucket: Bucket = "",
    deadline: Deadline = None,
) -> None:
    """Verify a version's files and sign its manifest, and the pointer if it is the champion.

    Signatures with other keys stay, so everything can be signed with a new key before it is asked for.
    """
    opened = _open(bucket, deadline, None)
    version = reading.find_version(opened, version, signed=False)
    manifest = reading.verify_version(opened, version, signed=False)
    key = signing.sign(opened, version, manifest.encode(), signing_key)
    signing.check(opened, version, manifest.encode(), key)
    is_champion = publishing.sign_champion(opened, version, signing_key)
    named = " and champion.json, which names it," if is_champion else ""
    typer.echo(f"signed {version}{named} with key {signing.key_id(key)}")
    required = signing.required_key(opened)
    if required is not None and signing.key_id(required) != signing.key_id(key):
        typer.echo(
            f"{opened.uri} asks for key {signing.key_id(required)}, until require-signatures changes that"
        )


@models_app.command(name="require-signatures")
def require_signatures(
    verify_key: Annotated[
        Path, typer.Option(metavar="FILE", callback=options.at_home, help="Public key (PEM) to verify with.")
    ],
    bucket: Bucket = "",
    deadline: Deadline = None,
) -> None:
    """Let the bucket refuse models that are not signed with this key, from now on."""
    opened = _open(bucket, deadline, None)
    signing.require_signatures(opened, signing.read_public_key(verify_key, "--verify-key"))
    typer.echo(f"{opened.uri} needs signatures now")


def _open(
    uri: str, deadline: float | None, verify_key: Path | None, signing_key: Path | None = None
) -> OpenBucket:
    signing.set_keys(signing_key, verify_key)
    if not uri:
        from pipeline.dag import LOCAL_BUCKET

        uri = LOCAL_BUCKET
    parsed = uri_forms.parse(uri, "--bucket")
    if parsed.is_local and not Path(parsed.path).is_dir():
        raise StorageError(f"--bucket={uri!r}: no such directory")
    return opening.open_bucket(uri, deadline=deadline)


def _promote(opened: OpenBucket, version: str) -> None:
    manifest = reading.verify_version(opened, version)
    outcome = publishing.promote_version(opened, manifest, signing_key=signing.signing_key())
    state = "is now the champion" if outcome.promoted else "was the champion already"
    typer.echo(f"{version} {state}: {outcome.serving_uri}")


def _previous(opened: OpenBucket) -> str:
    pointer, _ = reading.read_pointer(opened)
    if pointer is None:
        raise UsageError(f"{opened.uri}: no champion yet")
    version = pointer.before()
    if version is None:
        raise UsageError(
            f"{opened.uri}: there was no champion before {pointer.current.version[:12]}; name a version"
        )
    return version


def _problem_of(check: Callable[[], object]) -> DataError | GateError | None:
    try:
        check()
    except (DataError, GateError) as error:
        return error
    return None


def _record(manifest: Manifest, pointer: Pointer | None) -> dict[str, Any]:
    is_champion = pointer is not None and pointer.current.version == manifest.version
    return {
        "version": manifest.version,
        "champion": is_champion,
        "serving": pointer.current.serving if pointer and is_champion else None,
        "created": manifest.created,
        "provenance": manifest.provenance,
    }


def _row(record: tables.Record) -> tuple[str, ...]:
    if "refused" in record:
        return (record["version"][:12], "", "", "refused", record["refused"])
    provenance = record["provenance"]
    accuracy = _nested(provenance, "metrics", "accuracy")
    facts = {
        "style": _nested(provenance, "parameters", "model_style"),
        "git": str(provenance.get("git_revision") or "")[:12],
        "data": str(provenance.get("dataset_fingerprint") or "")[:12],
        "parent": str(provenance.get("parent") or "")[:12],
    }
    return (
        record["version"][:12],
        f"{accuracy:.4f}" if isinstance(accuracy, int | float) else "",
        datetime.fromisoformat(record["created"]).strftime("%Y-%m-%d %H:%M:%S"),
        "champion" if record["champion"] else "",
        " ".join(f"{name}={value}" for name, value in facts.items() if value),
    )


def _nested(facts: dict[str, Any], *names: str) -> Any:
    value: Any = facts
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value
