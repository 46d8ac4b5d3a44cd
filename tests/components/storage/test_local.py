"""What only a directory can be: full of other things than files, or full."""

import io
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from components.errors import StorageError
from components.registry.reading import read_champion
from components.storage.bucket import Bucket
from components.storage.digests import digest_bytes
from components.storage.opening import open_bucket


@pytest.fixture
def bucket(tmp_path: Path) -> Bucket:
    opened = open_bucket(str(tmp_path / "bucket"), deadline=1)
    opened.write("versions/a/manifest.json", b"content", generation=0)
    return opened


def operations(bucket: Bucket, name: str) -> list[Callable[[], object]]:
    return [
        lambda: bucket.read(name),
        lambda: bucket.stat(name),
        lambda: bucket.write(name, b"new", generation=0),
        lambda: bucket.copy(name, "copy", digest_bytes(b"content")),
        lambda: bucket.copy("versions/a/manifest.json", name, digest_bytes(b"content")),
        lambda: bucket.download(name, io.BytesIO()),
        lambda: bucket.delete(name, generation=1),
    ]


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda path: path.mkdir(), "a directory, not a file"),
        (os.mkfifo, "a special file, not a file"),
        (lambda path: path.symlink_to("/etc/hostname"), "is a symbolic link; a bucket has none"),
        (lambda path: path.symlink_to("nowhere"), "is a symbolic link; a bucket has none"),
    ],
)
def test_what_is_no_file_is_said_and_never_taken_for_nothing(
    bucket: Bucket, make: Callable[[Path], object], kind: str
) -> None:
    make(Path(bucket.uri) / "champion.json")
    for operation in operations(bucket, "champion.json"):
        with pytest.raises(StorageError, match=rf"champion\.json:? {kind}") as error:
            operation()
        assert "\n" not in str(error.value)
    with pytest.raises(StorageError, match=r"champion\.json"):
        read_champion(bucket)


def test_a_link_in_the_way_of_an_object_is_said(bucket: Bucket, tmp_path: Path) -> None:
    (Path(bucket.uri) / "versions").rename(tmp_path / "elsewhere")
    (Path(bucket.uri) / "versions").symlink_to(tmp_path / "elsewhere")
    for operation in (
        *operations(bucket, "versions/a/manifest.json"),
        lambda: list(bucket.list("versions/")),
        bucket.check_writable,
    ):
        with pytest.raises(StorageError, match="versions is a symbolic link; a bucket has none"):
            operation()


def test_a_file_in_the_way_of_an_object_is_said(bucket: Bucket) -> None:
    bucket.write("serving", b"", generation=0)
    for operation in operations(bucket, "serving/1/saved_model.pb"):
        with pytest.raises(StorageError, match=r"bucket .*: cannot .*: Not a directory"):
            operation()


def test_the_bucket_itself_may_be_a_link(bucket: Bucket, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(bucket.uri)
    linked = open_bucket(str(tmp_path / "link"))
    found = linked.read("versions/a/manifest.json")
    assert found is not None
    assert found.data == b"content"
