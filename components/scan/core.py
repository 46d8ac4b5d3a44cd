"""scan: which batches are there? A look at a listing, so that a cached ingest is never stale."""

from components.batches import listing


def scan(batches_uri: str) -> str:
    """Returns the digest of the batches that count, which is another one whenever they are others.

    Args:
      batches_uri: gs://bucket/prefix or a directory; "" for none.

    Returns:
      SHA-256, hex; "" where there are no batches.

    Raises:
      StorageError: the place is missing, refuses or does not answer.
    """
    if not batches_uri:
        return ""
    found = listing.entries(listing.opened(batches_uri))
    digest, count = listing.digest(found), len(listing.live(found))
    print(f"scan: {count} batches in {batches_uri}{f', digest {digest[:12]}' if digest else ''}", flush=True)
    return digest
