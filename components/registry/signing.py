"""Signed manifests: who may publish, where a bucket asks for it.

A manifest names every file's SHA-256 and the provenance, so its signature covers the model. It is made and
checked by the `model-signing` package with local elliptic-curve keys, without any network, and lies beside
the manifest. A bucket asks for signatures with `policy.json`, which holds the public key. Whoever can write
to the bucket can write that too; a reader who must not trust it names the key itself: MODEL_VERIFY_KEY.
"""

import contextlib
import json
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from components import json_objects
from components.errors import DataError, GateError, UsageError
from components.storage.bucket import Bucket, ConflictError

POLICY = "policy.json"
POLICY_FORMAT = "mnist-pipeline/policy/1"
SIGNING_KEY_VARIABLE = "MODEL_SIGNING_KEY"  # a PEM file with the private key
VERIFY_KEY_VARIABLE = "MODEL_VERIFY_KEY"  # a PEM file with the public key
_PUBLIC_KEY = ("-----BEGIN PUBLIC KEY-----", "-----END PUBLIC KEY-----")


def signature_name(version: str) -> str:
    """Returns the name of a version's signature in its bucket."""
    return f"versions/{version}/manifest.sig"


def required_key(bucket: Bucket) -> str | None:
    """Returns the public key (PEM) that signatures here must verify with; None if none are needed.

    Raises:
      UsageError: MODEL_VERIFY_KEY names no public key.
      DataError: the bucket's policy is damaged.
    """
    path = os.environ.get(VERIFY_KEY_VARIABLE)
    if path:
        return read_public_key(path, VERIFY_KEY_VARIABLE)
    content = bucket.read(POLICY)
    if content is None:
        return None
    policy = json_objects.parse_format(content.data, f"{bucket.uri}/{POLICY}", POLICY_FORMAT)
    key = policy.text("public_key")
    if not _is_public_key(key):
        raise DataError(f"{policy.where}: public_key must be a PEM public key")
    return key


def set_keys(signing_key: Path | None, verify_key: Path | None) -> None:
    """Puts keys that flags name where tasks look for them.

    Raises:
      UsageError: a file is missing, or holds no key of that kind.
    """
    if signing_key:
        _check_private_key(signing_key, "--signing-key")
        os.environ[SIGNING_KEY_VARIABLE] = str(signing_key.resolve())
    if verify_key:
        read_public_key(verify_key, "--verify-key")
        os.environ[VERIFY_KEY_VARIABLE] = str(verify_key.resolve())


def check_signing_key(bucket: Bucket) -> None:
    """Raises UsageError, before any work, if models here need a signature and there is no good key for it."""
    if path := os.environ.get(SIGNING_KEY_VARIABLE):
        _check_private_key(path, SIGNING_KEY_VARIABLE)
    elif required_key(bucket) is not None:
        raise UsageError(f"{bucket.uri}: needs signed models; set {SIGNING_KEY_VARIABLE}, or --signing-key")


def check_installed() -> None:
    """Raises UsageError if keys are named and the package that uses them is not installed here."""
    if os.environ.get(SIGNING_KEY_VARIABLE) or os.environ.get(VERIFY_KEY_VARIABLE):
        _model_signing()


def require_signatures(bucket: Bucket, public_key: str) -> None:
    """Configures the bucket to need signatures that verify with `public_key` (PEM)."""
    existing = bucket.read(POLICY)
    policy = {"format": POLICY_FORMAT, "public_key": public_key}
    data = (json.dumps(policy, indent=1, sort_keys=True) + "\n").encode()
    bucket.write(POLICY, data, generation=existing.generation if existing else 0)


def read_public_key(path: str | Path, field: str) -> str:
    """Returns the PEM public key in a file; UsageError, which calls the file `field`, if there is none."""
    text = _read_pem(path, field)
    if not _is_public_key(text):
        raise UsageError(f"{field}={str(path)!r}: must be a PEM file with a PUBLIC KEY")
    return text


def _check_private_key(path: str | Path, field: str) -> None:
    if not re.search(r"-----BEGIN (EC )?PRIVATE KEY-----", _read_pem(path, field)):
        raise UsageError(f"{field}={str(path)!r}: must be a PEM file with a private key without a password")


def _read_pem(path: str | Path, field: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii")
    except (OSError, ValueError) as error:
        raise UsageError(f"{field}={str(path)!r}: cannot be read ({type(error).__name__})") from None


def sign(bucket: Bucket, version: str, manifest: bytes, signing_key: str | Path) -> None:
    """Signs a version's manifest with the private key in the PEM file `signing_key`, unless that is done.

    A signature that does not verify with the key that the bucket asks for is replaced.

    Raises:
      UsageError: no such file, not a private key, or `model-signing` is not installed.
    """
    existing = bucket.read(signature_name(version))
    if existing and _is_good(bucket, version, manifest):
        return
    model_signing = _model_signing()
    with _as_directory(manifest) as (directory, signature_path):
        try:
            signer = model_signing.signing.Config().use_elliptic_key_signer(private_key=Path(signing_key))
            signer.sign(directory, signature_path)
        except Exception as error:  # its messages may quote the key
            raise UsageError(
                f"{SIGNING_KEY_VARIABLE}={str(signing_key)!r}: must be a PEM file with an elliptic-curve "
                f"private key without a password ({type(error).__name__})"
            ) from None
        with contextlib.suppress(ConflictError):  # somebody signed it at this moment
            generation = existing.generation if existing else 0
            bucket.write(signature_name(version), signature_path.read_bytes(), generation=generation)


def check(bucket: Bucket, version: str, manifest: bytes) -> None:
    """Raises GateError if signatures are needed here and this manifest has none that verifies."""
    public_key = required_key(bucket)
    if public_key is None:
        return
    content = bucket.read(signature_name(version))
    if content is None:
        raise GateError(f"{bucket.uri}: version {version} is not signed, and this bucket needs signatures")
    model_signing = _model_signing()
    with _as_directory(manifest) as (directory, signature_path):
        signature_path.write_bytes(content.data)
        key_path = signature_path.with_name("key.pem")
        key_path.write_text(public_key, encoding="utf-8")
        try:
            verifier = model_signing.verifying.Config().use_elliptic_key_verifier(public_key=key_path)
            verifier.verify(directory, signature_path)
        except Exception as error:  # whatever it stumbles over, this is not a good signature
            raise GateError(
                f"{bucket.uri}/{signature_name(version)}: does not verify with this bucket's key, or the "
                f"manifest was altered ({type(error).__name__})"
            ) from None


def _is_good(bucket: Bucket, version: str, manifest: bytes) -> bool:
    try:
        check(bucket, version, manifest)
    except GateError:
        return False
    return True


def _is_public_key(text: str) -> bool:
    return all(marker in text for marker in _PUBLIC_KEY)


@contextlib.contextmanager
def _as_directory(manifest: bytes) -> Iterator[tuple[Path, Path]]:
    """Gives the manifest alone in a directory, as model-signing takes models, and the signature's path."""
    with tempfile.TemporaryDirectory(prefix="signing-") as scratch:
        directory = Path(scratch) / "manifest"
        directory.mkdir()
        (directory / "manifest.json").write_bytes(manifest)
        yield directory, Path(scratch) / "manifest.sig"


def _model_signing() -> Any:
    try:
        import model_signing
    except ImportError:
        raise UsageError("signatures need the package model-signing: install requirements/sign.txt") from None
    return model_signing
