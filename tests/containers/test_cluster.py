"""containers/cluster.sh, as far as it can be known without one; .github/workflows/cluster.yml runs it."""

import subprocess

import yaml

from pipeline import environments
from pipeline.images.references import CHECKOUT
from pipeline.platforms.submission import fallbacks

SCRIPT = CHECKOUT / "containers" / "cluster.sh"


def settings() -> dict[str, str]:
    """The script's variables, with their values."""
    words = [line.partition("=") for line in SCRIPT.read_text(encoding="utf-8").splitlines()]
    return {name: value for name, equals, value in words if equals and name.isidentifier()}


def test_the_environment_has_the_addresses_that_the_script_makes() -> None:
    environment = environments.load("kind")
    assert isinstance(environment, environments.KfpEnvironment)
    port = environment.host.rpartition(":")[2]
    assert f"hostPort: {port}, listenAddress: 127.0.0.1" in SCRIPT.read_text(encoding="utf-8")
    assert environment.variables["STORAGE_EMULATOR_HOST"] == f"http://{settings()['bucket_ip']}:4443"
    bucket = fallbacks(environment)["bucket_uri"].removeprefix("gs://").partition("/")[0]
    assert f'"name": "{bucket}"' in SCRIPT.read_text(encoding="utf-8")


def test_the_workflow_reads_the_same_bucket_and_registry() -> None:
    text = (CHECKOUT / ".github" / "workflows" / "cluster.yml").read_text(encoding="utf-8")
    told = yaml.safe_load(text)["jobs"]["submit"]["env"]
    variables = environments.load("kind").variables  # type: ignore[union-attr]  # a KfpEnvironment, as above
    assert told == {name: variables[name] for name in told}
    assert f"REGISTRY=localhost:{settings()['registry_port']}\n" in text


def test_anything_but_start_and_stop_is_a_mistake_of_the_caller() -> None:
    done = subprocess.run([SCRIPT], capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 2
    assert done.stderr == f"usage: {SCRIPT} start|stop\n"
