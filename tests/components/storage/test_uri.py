import pytest

from components.errors import UsageError
from components.export.settings import Settings
from components.storage.uri import BucketUri, check_model_path, checked_name, parse

REFUSED = [
    "",
    "gs://",
    "gs:///x",
    "gs:/models",
    "gs://ab",
    "gs://UPPER/x",
    "gs://-models/x",
    "gs://models-/x",
    "gs://mod..els/x",
    "gs://10.0.0.1/x",
    f"gs://{'a' * 64}/x",
    "gs://mod els/x",
    "gs://user:secret@models/x",
    "gs://models/..",
    "gs://models/a/../b",
    "gs://models/./b",
    "gs://models//b",
    "gs://models/a//",
    "gs://models/a?b",
    "gs://models/a#b",
    "gs://models/a\x00b",
    "gs://models/a\nb",
    "gs://models/a\rb",
    f"gs://models/{'a' * 1025}",
    f"gs://models/{'é' * 400}",
    "gs://models/\udcff",
    "s3://models/x",
    "http://models/x",
    "hdfs:/x",
    "file://host/x",
    "file://",
    "file:///a/%2e%2e/b",
    "file:///a%00b",
    "file:///a?b",
    "..",
    "../models",
    "/tmp/../etc",
    "/tmp/a\nb",
    "/tmp/a\x00b",
    f"/tmp/{'a' * 1025}",
    "~/models",
    "~models",
    *(f"{place}/a{character}b" for place in ("/tmp", "models", "gs://models") for character in "[]*?\\"),
    "file:///tmp/a[b]",
    "file:///tmp/a%5Bb",
]


@pytest.mark.parametrize("uri", REFUSED)
def test_a_bad_uri_is_refused_in_one_line(uri: str) -> None:
    with pytest.raises(UsageError) as error:
        Settings(bucket_uri=uri)
    message = str(error.value)
    assert message.startswith("bucket_uri=")
    assert message.isprintable()
    assert len(message) < 500


@pytest.mark.parametrize(
    ("uri", "bucket", "path"),
    [
        ("gs://models", "models", ""),
        ("gs://models/", "models", ""),
        ("gs://models/a/b/", "models", "a/b"),
        ("gs://my_models.example.com/a b", "my_models.example.com", "a b"),
        ("file:///tmp/a%20b", "", "/tmp/a b"),
        ("output/bucket", "", "output/bucket"),
        ("/tmp/x//y", "", "/tmp/x//y"),
    ],
)
def test_a_good_uri_is_split(uri: str, bucket: str, path: str) -> None:
    assert parse(uri) == BucketUri(bucket, path)


@pytest.mark.parametrize(
    "name", ["", "/a", "a/", "a//b", "../a", "a/../b", ".", "a\\b", "a?b", "a#b", "a\nb", "a\x00", "a" * 1025]
)
def test_a_bad_object_name_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="object name"):
        checked_name(name)


def test_an_object_name_may_have_1024_bytes() -> None:
    assert checked_name("a" * 1024)


def test_what_only_a_shell_expands_is_told_apart_from_a_folder_of_that_name() -> None:
    with pytest.raises(UsageError, match=r"^checkpoint_uri='~/x': only a shell expands '~'; write the whole"):
        parse("~/x", "checkpoint_uri")
    assert parse("./~/x").path == "./~/x"
    assert parse("a/~x").path == "a/~x"


@pytest.mark.parametrize("path", ["/tmp/a b", "/tmp/a{b}", "/tmp/ä", "/tmp/a:b,c%41#$~", "relative"])
def test_where_tensorflow_loads_models_from(path: str) -> None:
    check_model_path(path, "model")


@pytest.mark.parametrize("path", ["", "/tmp/a\nb", "/tmp/\udcff", *(f"/tmp/a{each}b" for each in "[]*?\\")])
def test_where_tensorflow_loads_none_from(path: str) -> None:
    with pytest.raises(UsageError, match=r"^model=.{2,30}: .*; models there could not be loaded$"):
        check_model_path(path, "model")


def test_a_locale_in_which_tensorflow_would_look_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.getfilesystemencoding", lambda: "iso8859-1")
    check_model_path("/tmp/a", "model")
    for path in ("/tmp/ä", "/tmp/…"):
        with pytest.raises(UsageError, match="in UTF-8, and this machine's locale in iso8859-1"):
            check_model_path(path, "model")
