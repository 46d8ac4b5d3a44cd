"""What export accepts; pure, so that a launcher can refuse a bad value before anything starts."""

from components.storage import uri as uris


def check(*, bucket_uri: str) -> None:
    """Raises UsageError for anything but gs://bucket[/prefix], file:///directory or a local directory."""
    uris.parse(bucket_uri)
