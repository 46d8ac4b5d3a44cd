"""Signatures: who may publish and move the pointer, where a bucket asks for it.

A manifest names every file's SHA-256 and the provenance, so its signature covers the model; the pointer's
covers which version is served, under which number. They are made and checked by the `model-signing` package
with local elliptic-curve keys, without any network. A manifest's lies beside it, under a name with the id of
its key; the pointer's is inside it. So all can be signed with a new key while readers still ask for the old.

A bucket asks for signatures with `policy.json`, which holds the public key. Whoever can write to the bucket
can write that too; a reader who must not trust it names the key itself: MODEL_VERIFY_KEY.
"""

import contextlib
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from components import json_objects
from components.errors import DataError, GateError, UsageError
from components.registry.manifest import Pointer
from components.storage.bucket import Bucket, ConflictError

POLICY = "policy.json"
POLICY_FORMAT = "mnist-pipeline/policy/1"
SIGNING_KEY_VARIABLE = "MODEL_SIGNING_KEY"  # a PEM file with the private key
VERIFY_KEY_VARIABLE = "MODEL_VERIFY_KEY"  # a PEM file with the public key
_KEY_BYTES = 1 << 16  # more than any key has
_PUBLIC_KEY = ("-----BEGIN PUBLIC KEY-----", "-----END PUBLIC KEY-----")
_MANIFEST_FILE, _POINTER_FILE = "manifest.json", "champion.json"  # a signature is about content of that name


def signature_names(version: str, public_key: str) -> tuple[str, str]:
    """Returns the names of a version's signature with that key: its own, and that of former releases."""
    return f"versions/{version}/manifest.{key_id(public_key)}.sig", f"versions/{version}/manifest.sig"


def key_id(public_key: str) -> str:
    """Returns the first 16 hex digits of the SHA-256 over a public key (PEM), however that is written.

    Raises:
      UsageError: it is no public key, or `model-signing` is not installed.
    """
    _model_signing()  # which brings cryptography
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

    try:
        key = load_pem_public_key(public_key.encode())
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise UsageError(f"the public key for signatures here is none ({type(error).__name__})") from None
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()[:16]


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


def signing_key() -> str | None:
    """Returns the PEM file with the private key that this process signs with, None if it has none."""
    return os.environ.get(SIGNING_KEY_VARIABLE) or None


def check_signing_key(bucket: Bucket) -> None:
    """Raises UsageError, before any work, if models here need a signature and there is no good key for it."""
    if path := signing_key():  # whether it is the right one is seen where `model-signing` is, in export
        _check_private_key(path, SIGNING_KEY_VARIABLE)
    else:
        check_can_sign(bucket, required_key(bucket), None)


def check_can_sign(bucket: Bucket, required: str | None, key_path: str | None) -> None:
    """Raises UsageError if a bucket that asks for a key is about to be written to without it."""
    if required is None:
        return
    if not key_path:
        raise UsageError(f"{bucket.uri}: needs signed models; set {SIGNING_KEY_VARIABLE}, or --signing-key")
    own, wanted = key_id(_public_half(key_path)), key_id(required)
    if own != wanted:
        raise UsageError(f"{bucket.uri}: needs models signed with key {wanted}; the signing key is {own}")


def check_installed() -> None:
    """Raises UsageError if keys are named and the package that uses them is not installed here."""
    if signing_key() or os.environ.get(VERIFY_KEY_VARIABLE):
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


def sign(bucket: Bucket, version: str, manifest: bytes, key_path: str | Path) -> str:
    """Signs a version's manifest with the private key in the PEM file `key_path`, unless that key has.

    Signatures with other keys stay. What is there under this key's name and does not verify is replaced.

    Returns:
      The public key (PEM) that it verifies with.

    Raises:
      UsageError: no such file, not a private key, or `model-signing` is not installed.
    """
    public_key = _public_half(key_path)
    name = signature_names(version, public_key)[0]
    existing = bucket.read(name)
    if existing and _verifies(_MANIFEST_FILE, manifest, existing.data, public_key):
        return public_key
    signature = _signature(_MANIFEST_FILE, manifest, key_path)
    with contextlib.suppress(ConflictError):  # somebody signed it at this moment; `check` will tell
        bucket.write(name, signature, generation=existing.generation if existing else 0)
    return public_key


def sign_pointer(pointer: Pointer, key_path: str | Path) -> Pointer:
    """Returns the pointer with a signature by the private key in `key_path` more; raises as `sign` does.

    One that verifies with that key already is kept as it is.
    """
    own = key_id(public_key := _public_half(key_path))
    data = pointer.signed_bytes()
    if own in pointer.signatures and _verifies(
        _POINTER_FILE, data, pointer.signatures[own].encode(), public_key
    ):
        return pointer
    signature = _signature(_POINTER_FILE, data, key_path).decode()
    return replace(pointer, signatures=pointer.signatures | {own: signature})


def check(bucket: Bucket, version: str, manifest: bytes, public_key: str | None) -> None:
    """Raises GateError unless a manifest is signed with `public_key` (PEM), if that is not None."""
    if public_key is None:
        return
    found = [content for name in signature_names(version, public_key) if (content := bucket.read(name))]
    if not found:
        key = key_id(public_key)
        raise GateError(f"{bucket.uri}: version {version} is not signed with key {key}, which is needed here")
    if not any(_verifies(_MANIFEST_FILE, manifest, content.data, public_key) for content in found):
        raise GateError(
            f"{bucket.uri}/{signature_names(version, public_key)[0]}: does not verify with key "
            f"{key_id(public_key)}, or the manifest was altered"
        )


def check_pointer(where: str, pointer: Pointer, public_key: str | None) -> None:
    """Raises GateError unless the pointer is signed with `public_key` (PEM), if that is not None."""
    if public_key is None:
        return
    own = key_id(public_key)
    if own not in pointer.signatures:
        raise GateError(
            f"{where}: is not signed with key {own}, which is needed here; `models sign champion` signs it"
        )
    if not _verifies(_POINTER_FILE, pointer.signed_bytes(), pointer.signatures[own].encode(), public_key):
        raise GateError(f"{where}: does not verify with key {own}; it was altered")


def _check_private_key(path: str | Path, field: str) -> None:
    if not re.search(r"-----BEGIN (EC )?PRIVATE KEY-----", _read_pem(path, field)):
        raise UsageError(f"{field}={str(path)!r}: must be a PEM file with a private key without a password")


def _read_pem(path: str | Path, field: str) -> str:
    try:
        with Path(path).open("rb") as file:
            return file.read(_KEY_BYTES).decode("ascii")  # a device would fill the memory
    except (OSError, ValueError) as error:
        raise UsageError(f"{field}={str(path)!r}: cannot be read ({type(error).__name__})") from None


def _is_public_key(text: str) -> bool:
    return all(marker in text for marker in _PUBLIC_KEY)


def _public_half(key_path: str | Path) -> str:
    """Returns the public key (PEM) of the private key in a file."""
    _model_signing()
    from cryptography.hazmat.primitives import serialization

    pem = _read_pem(key_path, SIGNING_KEY_VARIABLE).encode()
    try:
        public = serialization.load_pem_private_key(pem, password=None).public_key()
    except Exception as error:  # noqa: BLE001  # its messages may quote the key
        raise _bad_key(key_path, error) from None
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return public.public_bytes(serialization.Encoding.PEM, form).decode()


def _signature(name: str, data: bytes, key_path: str | Path) -> bytes:
    """Returns a signature of `data` as the content of a file of that name."""
    config = _model_signing().signing.Config()
    with _as_directory(name, data) as (directory, signature_path):
        try:
            config.use_elliptic_key_signer(private_key=Path(key_path)).sign(directory, signature_path)
        except Exception as error:  # noqa: BLE001  # its messages may quote the key
            raise _bad_key(key_path, error) from None
        return signature_path.read_bytes()


def _verifies(name: str, data: bytes, signature: bytes, public_key: str) -> bool:
    config = _model_signing().verifying.Config()
    with _as_directory(name, data) as (directory, signature_path):
        signature_path.write_bytes(signature)
        key_path = signature_path.with_name("key.pem")
        key_path.write_text(public_key, encoding="ascii")
        try:
            config.use_elliptic_key_verifier(public_key=key_path).verify(directory, signature_path)
        except Exception:  # noqa: BLE001  # whatever it stumbles over, this is not a good signature
            return False
    return True


def _bad_key(key_path: str | Path, error: Exception) -> UsageError:
    return UsageError(
        f"{SIGNING_KEY_VARIABLE}={str(key_path)!r}: must be a PEM file with an elliptic-curve private key "
        f"without a password ({type(error).__name__})"
    )


@contextlib.contextmanager
def _as_directory(name: str, data: bytes) -> Iterator[tuple[Path, Path]]:
    """Gives a file alone in a directory, as model-signing takes models, and the signature's path."""
    with tempfile.TemporaryDirectory(prefix="signing-") as scratch:
        directory = Path(scratch) / name.partition(".")[0]
        directory.mkdir()
        (directory / name).write_bytes(data)
        yield directory, Path(scratch) / f"{name}.sig"


def _model_signing() -> Any:
    try:
        import model_signing
    except ImportError:
        raise UsageError("signatures need the package model-signing: install requirements/sign.txt") from None
    return model_signing
