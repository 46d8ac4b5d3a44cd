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
from components.registry import conclusions
from components.registry.manifest import Pointer
from components.registry.reading import (
    SERVING,
    list_versions,
    manifest_name,
    model_prefix,
    read_champion,
    read_manifest,
    serving_number,
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
    the `keep` newest published versions, signed ones before others where signatures are needed. A version
    whose manifest is damaged stays too: a person should look. What runs came to is kept for a month.

    Args:
      bucket: where.
      keep: how many published versions to keep beside the champion, 0 or more.
      now: seconds since 1970; the clock's if None.

    Raises:
      DataError: the pointer or the champion's manifest is damaged; nothing can be decided then.
      GateError: one of them is not signed, where that is needed.
    """
    moment = time.time() if now is None else now
    champion = read_champion(bucket)
    pointer = champion.pointer if champion else None
    since = datetime.fromtimestamp(moment - DAY_SECONDS, UTC)
    moves = pointer.moves_since(since) if pointer else ()
    current = pointer.current.version if pointer else ""
    versions = list_versions(bucket)
    states = {version: _state(bucket, version, objects) for version, objects in versions.items()}
    spared = {current, *(move.version for move in moves), *_newest(states, keep, current)}
    doomed = [
        Doomed(f"versions/{version}", states[version].reason, _in_order(version, objects))
        for version, objects in sorted(versions.items())
        if version not in spared and not states[version].is_damaged and _is_old(objects, moment)
    ]
    if pointer:
        doomed += _old_serving(bucket, pointer, {move.serving for move in moves}, moment)
    reason = f"what a run came to more than {conclusions.KEPT_DAYS} days ago"
    return doomed + [Doomed(old.name, reason, (old,)) for old in conclusions.expired(bucket, moment)]


def collect(bucket: Bucket, doomed: list[Doomed]) -> list[Doomed]:
    """Deletes what `plan` returned, and what killed writers left; returns what did go.

    A version that a publisher took up since is left alone.
    """
    gone = []
    for target in doomed:
        if target.objects and _is_gone(bucket, target.objects[0]):
            for stored in target.objects[1:]:
                bucket.delete(stored.name, generation=stored.generation)
            gone.append(target)
    bucket.remove_unfinished(DAY_SECONDS)
    return gone


def _is_gone(bucket: Bucket, stored: StoredObject) -> bool:
    """Deletes an object unless somebody wrote it since; returns whether it is gone.

    A deletion whose acknowledgement was lost looks, tried again, like one that had nothing to delete.
    """
    return bucket.delete(stored.name, generation=stored.generation) or bucket.stat(stored.name) is None


@dataclass(frozen=True)
class _State:
    """What is known of a version: when it was published, "" if never; whether it is signed as it must be."""

    created: str
    is_signed: bool = True
    is_damaged: bool = False

    @property
    def reason(self) -> str:
        if not self.created:
            return "never finished"
        return f"created {self.created}" + ("" if self.is_signed else ", not signed")


def _state(bucket: Bucket, version: str, objects: list[StoredObject]) -> _State:
    if all(stored.name != manifest_name(version) for stored in objects):
        return _State("")
    try:
        return _State(read_manifest(bucket, version).created)
    except GateError:
        return _State(read_manifest(bucket, version, signed=False).created, is_signed=False)
    except DataError:
        return _State("", is_damaged=True)


def _newest(states: dict[str, _State], keep: int, current: str) -> set[str]:
    """Returns the `keep` newest published versions beside the champion; no unsigned one before a signed."""
    published = [version for version, state in states.items() if state.created and version != current]
    published.sort(key=lambda version: (states[version].is_signed, states[version].created))
    return set(published[len(published) - keep :] if keep else ())


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
        number = serving_number(stored.name)
        if number is not None and pointer.first_serving <= number < pointer.current.serving:
            copies.setdefault(number, []).append(stored)
    return [
        Doomed(
            f"{SERVING}{number}",
            "an earlier champion's copy",
            tuple(sorted(objects, key=lambda stored: not stored.name.endswith(f"/{GRAPH_FILE}"))),
        )
        for number, objects in sorted(copies.items())
        if number not in spared and _is_old(objects, moment)
    ]
