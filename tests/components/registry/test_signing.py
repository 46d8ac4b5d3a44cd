"""Signed manifests, with keys made here; nothing leaves this machine."""

import dataclasses
import hashlib
import os
import shutil
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from typer.testing import CliRunner

from components.errors import DataError, GateError, PipelineError, UsageError
from components.registry import collecting
from components.registry.publishing import promote_version, publish
from components.registry.reading import (
    MIN_SERVING_VARIABLE,
    download_version,
    read_champion,
    read_pointer,
    verify_version,
)
from components.registry.signing import (
    SIGNING_KEY_VARIABLE,
    VERIFY_KEY_VARIABLE,
    check_signing_key,
    key_id,
    read_public_key,
    require_signatures,
    set_keys,
    signature_names,
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
    before = contents(bucket)
    with pytest.raises(UsageError, match=r"needs models signed with key \w{16}; the signing key is \w{16}"):
        publish(bucket, model_dir, {}, 0, signing_key=make_keys(tmp_path, "other")[0])
    assert contents(bucket) == before
    assert publish(bucket, model_dir, {}, 0, signing_key=keys[0]).promoted


def signature_of(bucket: Bucket, version: str, keys: tuple[str, str]) -> Path:
    """Where a version's signature with that key is."""
    key = read_public_key(keys[1], "--verify-key")
    return Path(bucket.uri) / signature_names(version, key)[0]


@pytest.mark.parametrize("damage", ["overwritten", "swapped", "removed"])
def test_an_altered_signature_is_refused(
    bucket: Bucket, keys: tuple[str, str], model_dir: Path, tmp_path: Path, damage: str
) -> None:
    version = publish(bucket, model_dir, {}, 0, signing_key=keys[0]).version
    other = make_model(tmp_path / "two", 2)
    other_version = publish(bucket, other, {}, read_generation(bucket), signing_key=keys[0]).version
    path = signature_of(bucket, other_version, keys)
    if damage == "swapped":
        shutil.copy(signature_of(bucket, version, keys), path)
    elif damage == "removed":
        path.unlink()
    else:
        path.write_text("{}", encoding="utf-8")
    for call in (
        lambda: read_champion(bucket),
        lambda: verify_version(bucket, other_version),
        lambda: download_version(bucket, other_version, tmp_path / "copy"),
    ):
        with pytest.raises(GateError, match=r"not signed|does not verify"):
            call()
    promote_version(bucket, verify_version(bucket, version), signing_key=keys[0])


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


def models(bucket: Bucket, *arguments: str) -> str:
    result = CliRunner().invoke(models_app, [*arguments, "--bucket", bucket.uri])
    if result.exception:
        raise result.exception
    return result.stdout


@pytest.fixture
def unguarded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """A bucket that asks for no signatures, and variables that flags may set and monkeypatch takes back."""
    for variable in (SIGNING_KEY_VARIABLE, VERIFY_KEY_VARIABLE, MIN_SERVING_VARIABLE):
        monkeypatch.setenv(variable, "")
    return open_bucket(str(tmp_path / "unguarded"))


def test_what_is_there_can_be_signed_later(unguarded: Bucket, model_dir: Path, keys: tuple[str, str]) -> None:
    version = publish(unguarded, model_dir, {}, 0).version
    models(unguarded, "require-signatures", "--verify-key", keys[1])
    with pytest.raises(GateError, match=r"champion\.json: is not signed with key .*; `models sign champion`"):
        models(unguarded, "verify")
    said = models(unguarded, "sign", version[:8], "--signing-key", keys[0])
    assert said.startswith(f"signed {version} and champion.json, which names it, with key ")
    assert "verified 1 of 1" in models(unguarded, "verify")


def test_an_older_version_is_signed_alone(
    unguarded: Bucket, tmp_path: Path, model_dir: Path, keys: tuple[str, str]
) -> None:
    first = publish(unguarded, model_dir, {}, 0)
    second = publish(unguarded, make_model(tmp_path / "two", 2), {}, first.generation)
    said = models(unguarded, "sign", first.version, "--signing-key", keys[0])
    assert said.startswith(f"signed {first.version} with key ")
    assert read_generation(unguarded) == second.generation


def test_signing_signs_whatever_lies_there_already(
    unguarded: Bucket, model_dir: Path, keys: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No policy asks for a key, and a file has the signature's name: that was taken for one."""
    version = publish(unguarded, model_dir, {}, 0).version
    signature_of(unguarded, version, keys).write_text("somebody's", encoding="utf-8")
    (Path(unguarded.uri) / "versions" / version / "manifest.sig").write_text("{}", encoding="utf-8")
    models(unguarded, "sign", "champion", "--signing-key", keys[0])
    monkeypatch.setenv(VERIFY_KEY_VARIABLE, keys[1])
    assert "verified 1 of 1" in models(unguarded, "verify")


def test_publishing_signs_whatever_lies_there_already(
    unguarded: Bucket, model_dir: Path, keys: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    version = publish(unguarded, model_dir, {}, 0).version
    signature_of(unguarded, version, keys).write_text("somebody's", encoding="utf-8")
    publish(unguarded, model_dir, {}, 0, signing_key=keys[0])
    monkeypatch.setenv(VERIFY_KEY_VARIABLE, keys[1])
    verify_version(unguarded, version)


def test_a_key_is_replaced_by_signing_first(
    bucket: Bucket, keys: tuple[str, str], model_dir: Path, tmp_path: Path, unguarded: Bucket
) -> None:
    """Readers find the key that they ask for at every moment."""
    new = make_keys(tmp_path, "new")
    first = publish(bucket, model_dir, {}, 0, signing_key=keys[0])
    publish(bucket, make_model(tmp_path / "two", 2), {}, first.generation, signing_key=keys[0])
    for version in (first.version, "champion"):
        said = models(bucket, "sign", version, "--signing-key", new[0])
        assert "asks for key" in said
        assert "verified 2 of 2" in models(bucket, "verify")
    models(bucket, "require-signatures", "--verify-key", new[1])
    assert "verified 2 of 2" in models(bucket, "verify")
    with pytest.raises(UsageError, match="the signing key is"):
        models(bucket, "rollback", "--signing-key", keys[0])
    models(bucket, "rollback", "--signing-key", new[0])
    assert "verified 2 of 2" in models(bucket, "verify")


def test_signatures_of_former_releases_are_read(
    bucket: Bucket, keys: tuple[str, str], model_dir: Path
) -> None:
    version = publish(bucket, model_dir, {}, 0, signing_key=keys[0]).version
    path = signature_of(bucket, version, keys)
    path.rename(path.with_name("manifest.sig"))
    verify_version(bucket, version)


def test_one_key_has_one_id_however_it_is_written(keys: tuple[str, str]) -> None:
    text = read_public_key(keys[1], "--verify-key")
    public = serialization.load_pem_public_key(text.encode())
    assert isinstance(public, ec.EllipticCurvePublicKey)
    assert key_id(f"a comment\n{text}\n\n") == key_id(text)
    with pytest.raises(UsageError, match="the public key for signatures here is none"):
        key_id("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")


def test_the_pointer_cannot_be_turned_to_an_older_version(
    bucket: Bucket, keys: tuple[str, str], model_dir: Path, tmp_path: Path
) -> None:
    """Whoever can write to the bucket, and has no key, makes it name a version that was signed once."""
    first = publish(bucket, model_dir, {}, 0, signing_key=keys[0])
    publish(bucket, make_model(tmp_path / "two", 2), {}, first.generation, signing_key=keys[0])
    pointer, generation = read_pointer(bucket)
    assert pointer is not None
    manifest = (Path(bucket.uri) / "versions" / first.version / "manifest.json").read_bytes()
    turned = pointer.moved_to(first.version, hashlib.sha256(manifest).hexdigest())
    for forged in (turned, dataclasses.replace(turned, signatures=pointer.signatures)):
        generation = bucket.write("champion.json", forged.encode(), generation=generation).generation
        for call in (lambda: read_champion(bucket), lambda: models(bucket, "list")):
            with pytest.raises(GateError, match=r"champion\.json: (is not signed|does not verify) with key"):
                call()
        with pytest.raises(GateError, match=r"champion\.json"):
            publish(bucket, make_model(tmp_path / "three", 3), {}, generation, signing_key=keys[0])


def test_a_signed_pointer_that_is_brought_back_is_refused_by_who_knows_a_later_number(
    bucket: Bucket, keys: tuple[str, str], model_dir: Path, tmp_path: Path, unguarded: Bucket
) -> None:
    first = publish(bucket, model_dir, {}, 0, signing_key=keys[0])
    old = Path(bucket.uri) / "champion.json"
    signed_once = old.read_bytes()
    publish(bucket, make_model(tmp_path / "two", 2), {}, first.generation, signing_key=keys[0])
    assert "serving\t2\n" in models(bucket, "show")
    assert "verified 2 of 2" in models(bucket, "verify", "--min-serving", "2")
    old.write_bytes(signed_once)
    for command in ("show", "verify", "list"):  # the flag's number stays in the environment
        with pytest.raises(GateError, match="turned back: its serving number 1 is below MODEL_MIN_SERVING=2"):
            models(bucket, command)
    with pytest.raises(GateError, match="turned back"):
        models(bucket, "download", str(tmp_path / "copy"), "--min-serving", "2")
    old.unlink()
    with pytest.raises(GateError, match="turned back: its serving number 0 is below"):
        read_champion(bucket)


def test_a_number_that_is_none_is_refused(unguarded: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MIN_SERVING_VARIABLE, "-1")
    with pytest.raises(UsageError, match="MODEL_MIN_SERVING='-1': must be a whole number"):
        read_champion(unguarded)


def test_the_pointer_is_not_moved_without_a_key(
    bucket: Bucket, keys: tuple[str, str], model_dir: Path, tmp_path: Path, unguarded: Bucket
) -> None:
    first = publish(bucket, model_dir, {}, 0, signing_key=keys[0])
    publish(bucket, make_model(tmp_path / "two", 2), {}, first.generation, signing_key=keys[0])
    before = contents(bucket)
    for command in (["rollback"], ["promote", first.version]):
        with pytest.raises(UsageError, match="needs signed models; set MODEL_SIGNING_KEY, or --signing-key"):
            models(bucket, *command)
    assert contents(bucket) == before
    models(bucket, "rollback", "--signing-key", keys[0])
    found = read_champion(bucket)
    assert found is not None
    assert found.version == first.version


def test_gc_takes_unsigned_versions_too_and_keeps_signed_ones_first(
    unguarded: Bucket, keys: tuple[str, str], tmp_path: Path
) -> None:
    """Three unsigned versions, then two signed ones, and the signed champion."""
    generation = 0
    versions: list[str] = []
    for seed in range(6):
        key = keys[0] if seed >= 3 else None
        outcome = publish(unguarded, make_model(tmp_path / f"{seed}", seed), {}, generation, signing_key=key)
        generation, versions = outcome.generation, [*versions, outcome.version]
    models(unguarded, "require-signatures", "--verify-key", keys[1])

    def doomed(keep: int) -> dict[str, str]:
        planned = collecting.plan(unguarded, keep, now=time.time() + 2 * 86_400)
        named = {target.prefix.removeprefix("versions/"): target.reason for target in planned}
        return {name: reason for name, reason in named.items() if name in versions}

    assert doomed(5) == {}
    assert doomed(3).keys() == set(versions[:2])
    assert all(reason.endswith(", not signed") for reason in doomed(3).values())
    assert doomed(2).keys() == set(versions[:3])
    assert doomed(0).keys() == set(versions[:5])


@pytest.mark.parametrize(
    "command", [["list"], ["verify"], ["show"], ["promote", "champion"], ["download", "there"]]
)
def test_a_verb_that_is_given_a_key_believes_no_policy(
    tmp_path: Path,
    model_dir: Path,
    keys: tuple[str, str],
    command: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(VERIFY_KEY_VARIABLE, "")  # monkeypatch takes back what the verb puts there
    monkeypatch.chdir(tmp_path)
    opened = open_bucket(str(tmp_path / "unguarded"))
    publish(opened, model_dir, {}, 0)
    assert CliRunner().invoke(models_app, ["verify", "--bucket", opened.uri]).exit_code == 0
    result = CliRunner().invoke(models_app, [*command, "--bucket", opened.uri, "--verify-key", keys[1]])
    assert isinstance(result.exception, PipelineError), result.output
    assert "is not signed" in str(result.exception) + result.output
    assert not (tmp_path / "there").exists()
