import os
from collections.abc import Iterator
from typing import NoReturn

import docker
import pytest
from docker.errors import DockerException, ImageNotFound

from pipeline import image_build, images


def unavailable(reason: str) -> NoReturn:
    """Skips the test, or fails it where containers are required."""
    if os.environ.get("REQUIRE_CONTAINERS") == "1":
        pytest.fail(f"REQUIRE_CONTAINERS=1, but {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def engine() -> Iterator[docker.DockerClient]:
    try:
        client = docker.from_env()
        client.ping()
    except DockerException as error:
        unavailable(f"no container engine answers: {error}")
    yield client
    client.close()


@pytest.fixture(scope="session")
def base_image(engine: docker.DockerClient) -> str:
    dockerfile = (images.CHECKOUT / "containers" / "Dockerfile").read_text()
    reference = dockerfile.split("ARG BASE_IMAGE=")[1].split()[0]
    try:
        engine.images.get(reference)
    except ImageNotFound:
        unavailable(f"there is no {reference}: run containers/base-image.sh")
    return reference


@pytest.fixture(scope="session")
def built(base_image: str) -> dict[str, str]:
    """The checkout's images: component name to reference."""
    return image_build.build()
