from types import SimpleNamespace

import pytest
import tensorflow_datasets as tfds

from components.errors import UsageError
from components.ingest import archives
from components.ingest.settings import DATASETS


@pytest.mark.parametrize("dataset", DATASETS)
def test_tfds_registers_the_four_archives_in_the_order_of_their_roles(dataset: str) -> None:
    registered = archives.registered(dataset)
    assert [archive.role for archive in registered] == [
        "train_data",
        "train_labels",
        "test_data",
        "test_labels",
    ]
    assert [archive.filename[:8] for archive in registered] == [
        "train-im",
        "train-la",
        "t10k-ima",
        "t10k-lab",
    ]
    assert all(len(archive.sha256) == 64 and archive.size > 4_000 for archive in registered)


@pytest.mark.parametrize("names", [[], ["a/train-images-idx3-ubyte.gz"], ["a/x.zip"] * 4])
def test_a_tfds_that_knows_other_archives_is_named_with_its_version(
    names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    infos = {f"https://example.invalid/{name}": SimpleNamespace(size=1, checksum="0") for name in names}
    monkeypatch.setattr(tfds, "builder_cls", lambda name: SimpleNamespace(url_infos=infos))
    with pytest.raises(
        UsageError, match=rf"^tensorflow-datasets {tfds.__version__}: registers .* for mnist, not"
    ):
        archives.registered("mnist")
