"""Deleting versions that nobody needs, beside publishers that may want one of them at this very moment.

The manifest goes first, and only at the generation that was listed. A publisher that reuses an old version
rewrites its manifest before it moves the pointer, so one of the two fails: the deletion, and the version
stays, or the rewriting, and the publisher starts anew.
"""

import time
from dataclasses import dataclass
from datetime import UTC, datetime

from components.errors import DataError, GateError
from components.model.contract import GRAPH_FILE
from components.registry.manifest import Pointer
from components.registry.reading import (
    SERVING,
    list_versions,
    manifest_name,
    model_prefix,
    read_champion,
    read_manifest,
)
from components.storage.bucket import Bucket, StoredObject

DAY_SECONDS = 86_400.0


@dataclass(frozen=True)
class Doomed:
    """What `collect` deletes: a prefix of the bucket, why, and its objects in the order of deletion."""

    prefix: str
    reason: str
    objects: tuple[StoredObject, ...]


def plan(bucket: Bucket, keep: int, now: float | None = None) -> list[Doomed]:
    """Returns what may go.

    Never the champion, what the pointer named in the last day, anything with an object younger than a day, or
    the `keep` newest published versions. A version whose manifest is damaged stays too: a person should look.

    Args:
      bucket: where.
      keep: how many published versions to keep beside the champion, 0 or more.
      now: seconds since 1970; the clock's if None.

    Raises:
      DataError: the pointer or the champion's manifest is damaged; nothing can be decided then.
    """
    moment = time.time() if now is None else now
    champion = read_champion(bucket)
    pointer = champion.pointer if champion else None
    since = datetime.fromtimestamp(moment - DAY_SECONDS, UTC)
    moves = pointer.moves_since(since) if pointer else ()
    spared = {move.version for move in moves}
    versions = list_versions(bucket)
    created = {version: _created(bucket, version, objects) for version, objects in versions.items()}
    current = {pointer.current.version} if pointer else set()
    published = sorted(
        (when, version) for version, when in created.items() if when and version not in current
    )
    spared |= current | {version for _, version in published[len(published) - keep :] if keep}
    doomed = []
    for version, objects in sorted(versions.items()):
        if version not in spared and created[version] is not None and _is_old(objects, moment):
            reason = f"created {created[version]}" if created[version] else "never finished"
            doomed.append(Doomed(f"versions/{version}", reason, _in_order(version, objects)))
    if pointer:
        numbers = {move.serving for move in moves}
        doomed += _old_serving(bucket, pointer, numbers, moment)
    return doomed


def collect(bucket: Bucket, doomed: list[Doomed]) -> list[Doomed]:
    """Deletes what `plan` returned, and what killed writers left; returns what did go.

    A version that a publisher took up since is left alone.
    """
    gone = []
    for each in doomed:
        if each.objects and bucket.delete(each.objects[0].name, generation=each.objects[0].generation):
            for stored in each.objects[1:]:
                bucket.delete(stored.name, generation=stored.generation)
            gone.append(each)
    bucket.remove_unfinished(DAY_SECONDS)
    return gone


def _created(bucket: Bucket, version: str, objects: list[StoredObject]) -> str | None:
    """Returns when a version was published; "" if it never was, None if its manifest is not in order."""
    if all(stored.name != manifest_name(version) for stored in objects):
        return ""
    try:
        return read_manifest(bucket, version).created
    except (DataError, GateError):
        return None


def _is_old(objects: list[StoredObject], moment: float) -> bool:
    return all(moment - stored.updated >= DAY_SECONDS for stored in objects)


def _in_order(version: str, objects: list[StoredObject]) -> tuple[StoredObject, ...]:
    """Manifest first, then the graph: what is half deleted is no model."""
    first = [manifest_name(version), f"{model_prefix(version)}{GRAPH_FILE}"]
    return tuple(sorted(objects, key=lambda stored: (stored.name not in first, stored.name != first[0])))


def _old_serving(bucket: Bucket, pointer: Pointer, spared: set[int], moment: float) -> list[Doomed]:
    """Returns this registry's copies for TensorFlow Serving that are neither the current nor recent ones."""
    copies: dict[int, list[StoredObject]] = {}
    for stored in bucket.list(SERVING):
        number = stored.name.split("/")[1]
        if number.isdecimal() and pointer.first_serving <= int(number) < pointer.current.serving:
            copies.setdefault(int(number), []).append(stored)
    return [
        Doomed(
            f"{SERVING}{number}",
            "an earlier champion's copy",
            tuple(sorted(objects, key=lambda stored: not stored.name.endswith(f"/{GRAPH_FILE}"))),
        )
        for number, objects in sorted(copies.items())
        if number not in spared and _is_old(objects, moment)
    ]
