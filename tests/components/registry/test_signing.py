"""Signed manifests, with keys made here; nothing leaves this machine."""

import os
import shutil
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from typer.testing import CliRunner

from components.errors import DataError, GateError, UsageError
from components.registry.publishing import promote_version, publish
from components.registry.reading import download_version, read_champion, verify_version
from components.registry.signing import (
    SIGNING_KEY_VARIABLE,
    VERIFY_KEY_VARIABLE,
    check_signing_key,
    read_public_key,
    require_signatures,
    set_keys,
)
from components.storage.bucket import Bucket
from components.storage.opening import open_bucket
from pipeline.commands.models import models_app
from tests.components.registry.test_reading import contents, make_model

CANARY = "CANARY-9b1e"


def make_keys(directory: Path, name: str) -> tuple[str, str]:
    """Returns the paths of a private and a public key."""
    key = ec.generate_private_key(ec.SECP256R1())
    pem, no_password = serialization.Encoding.PEM, serialization.NoEncryption()
    private, public = directory / f"{name}.pem", directory / f"{name}.pub"
    private.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, no_password))
    public.write_bytes(key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo))
    return str(private), str(public)


@pytest.fixture
def keys(tmp_path: Path) -> tuple[str, str]:
    return make_keys(tmp_path, "key")


@pytest.fixture
def bucket(tmp_path: Path, keys: tuple[str, str]) -> Bucket:
    """A bucket that needs signatures by `keys`."""
    opened = open_bucket(str(tmp_path / "bucket"))
    require_signatures(opened, read_public_key(keys[1], "--verify-key"))
    return opened


@pytest.fixture
def model_dir(tmp_path: Path) -> Path:
    return make_model(tmp_path / "model")


def test_a_signed_model_is_published_and_read(
    bucket: Bucket, keys: tuple[str, str], model_dir: Path, tmp_path: Path
) -> None:
    version = publish(bucket, model_dir, {}, 0, signing_key=keys[0]).version
    champion = read_champion(bucket)
    assert champion is not None
    assert champion.version == version
    verify_version(bucket, version)
    download_version(bucket, version, tmp_path / "copy")
    before = contents(bucket)
    assert not publish(bucket, model_dir, {}, 0, signing_key=keys[0]).created
    assert contents(bucket) == before


def test_nothing_is_published_without_a_key(bucket: Bucket, model_dir: Path) -> None:
    before = contents(bucket)
    with pytest.raises(UsageError, match="needs signed models; set MODEL_SIGNING_KEY"):
        publish(bucket, model_dir, {}, 0)
    assert contents(bucket) == before


def test_a_missing_key_is_known_before_training(
    bucket: Bucket, keys: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="needs signed models; set MODEL_SIGNING_KEY"):
        check_signing_key(bucket)
    monkeypatch.setenv("MODEL_SIGNING_KEY", keys[0])
    check_signing_key(bucket)


def test_keys_from_flags_are_checked_and_put_where_tasks_look(
    keys: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in (SIGNING_KEY_VARIABLE, VERIFY_KEY_VARIABLE):
        monkeypatch.setenv(variable, "")  # monkeypatch takes back what set_keys puts there
    with pytest.raises(UsageError, match=r"--signing-key=.*nope.*: cannot be read"):
        set_keys(tmp_path / "nope", None)
    with pytest.raises(UsageError, match=r"--signing-key=.*: must be a PEM file with a private key"):
        set_keys(Path(keys[1]), None)
    with pytest.raises(UsageError, match=r"--verify-key=.*: must be a PEM file with a PUBLIC KEY"):
        set_keys(None, Path(keys[0]))
    assert not os.environ[SIGNING_KEY_VARIABLE]
    set_keys(Path(keys[0]), Path(keys[1]))
    assert (os.environ[SIGNING_KEY_VARIABLE], os.environ[VERIFY_KEY_VARIABLE]) == keys


def test_a_file_that_is_no_key_is_known_before_training(
    bucket: Bucket, keys: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SIGNING_KEY_VARIABLE, keys[1])
    with pytest.raises(UsageError, match=r"MODEL_SIGNING_KEY=.*: must be a PEM file with a private key"):
        check_signing_key(bucket)


def test_a_model_signed_with_another_key_is_not_promoted(
    bucket: Bucket, model_dir: Path, keys: tuple[str, str], tmp_path: Path
) -> None:
    with pytest.raises(GateError, match="does not verify with this bucket's key"):
        publish(bucket, model_dir, {}, 0, signing_key=make_keys(tmp_path, "other")[0])
    assert bucket.read("champion.json") is None
    assert publish(bucket, model_dir, {}, 0, signing_key=keys[0]).promoted


@pytest.mark.parametrize("damage", ["manifest.sig", "swapped", "removed"])
def test_an_altered_signature_is_refused(
    bucket: Bucket, keys: tuple[str, str], model_dir: Path, tmp_path: Path, damage: str
) -> None:
    version = publish(bucket, model_dir, {}, 0, signing_key=keys[0]).version
    other = make_model(tmp_path / "two", 2)
    other_version = publish(bucket, other, {}, read_generation(bucket), signing_key=keys[0]).version
    root = Path(bucket.uri) / "versions"
    if damage == "swapped":
        shutil.copy(root / version / "manifest.sig", root / other_version / "manifest.sig")
    elif damage == "removed":
        (root / other_version / "manifest.sig").unlink()
    else:
        (root / other_version / "manifest.sig").write_text("{}", encoding="utf-8")
    for call in (
        lambda: read_champion(bucket),
        lambda: verify_version(bucket, other_version),
        lambda: download_version(bucket, other_version, tmp_path / "copy"),
    ):
        with pytest.raises(GateError, match=r"not signed|does not verify"):
            call()
    promote_version(bucket, verify_version(bucket, version))


def read_generation(bucket: Bucket) -> int:
    stored = bucket.stat("champion.json")
    assert stored is not None
    return stored.generation


def test_a_reader_with_a_key_of_its_own_believes_no_policy(
    tmp_path: Path, model_dir: Path, keys: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = open_bucket(str(tmp_path / "unguarded"))
    publish(opened, model_dir, {}, 0)
    monkeypatch.setenv("MODEL_VERIFY_KEY", keys[1])
    with pytest.raises(GateError, match="is not signed"):
        read_champion(opened)
    monkeypatch.setenv("MODEL_VERIFY_KEY", keys[0])
    with pytest.raises(UsageError, match="must be a PEM file with a PUBLIC KEY"):
        read_champion(opened)


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        (b"", "not JSON"),
        (b"[]", "not an object"),
        (b"{}", "format 'None'"),
        (b'{"format": "mnist-pipeline/policy/1", "public_key": 1}', "public_key=1 must be a string"),
        (b'{"format": "mnist-pipeline/policy/1", "public_key": "x"}', "must be a PEM public key"),
    ],
)
def test_a_damaged_policy_fails_closed(tmp_path: Path, model_dir: Path, policy: bytes, message: str) -> None:
    opened = open_bucket(str(tmp_path / "bucket"))
    opened.write("policy.json", policy, generation=0)
    with pytest.raises(DataError, match=rf"policy\.json: .*{message}"):
        publish(opened, model_dir, {}, 0)
    assert list(contents(opened)) == ["policy.json"]


def test_a_bad_signing_key_is_named_but_not_shown(bucket: Bucket, model_dir: Path, tmp_path: Path) -> None:
    key = tmp_path / "bad.pem"
    key.write_text(f"-----BEGIN PRIVATE KEY-----\n{CANARY}\n-----END PRIVATE KEY-----\n", encoding="utf-8")
    for path in (str(key), str(tmp_path / "absent.pem")):
        with pytest.raises(UsageError) as error:
            publish(bucket, model_dir, {}, 0, signing_key=path)
        assert path in str(error.value)
        assert CANARY not in str(error.value)
        assert "\n" not in str(error.value)
    assert bucket.read("champion.json") is None


def test_an_older_version_can_be_signed_later(tmp_path: Path, model_dir: Path, keys: tuple[str, str]) -> None:
    opened = open_bucket(str(tmp_path / "bucket"))
    version = publish(opened, model_dir, {}, 0).version

    def run(*arguments: str) -> str:
        result = CliRunner().invoke(models_app, [*arguments, "--bucket", opened.uri])
        if result.exception:
            raise result.exception
        return result.stdout

    run("require-signatures", "--verify-key", keys[1])
    with pytest.raises(GateError, match="is not signed"):
        run("verify")
    run("sign", version[:8], "--signing-key", keys[0])
    assert "verified 1 of 1" in run("verify")
