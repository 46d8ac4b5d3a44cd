"""What tests of the commands share: an environment of the checkout that points at a fake platform."""

import dataclasses
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from components.errors import PipelineError
from pipeline.cli import app
from pipeline.environments import PREFIX
from pipeline.images.references import COMPONENTS, repository
from tests.fakes import remotes
from tests.fakes.remotes import Remote

ENVIRONMENTS = {"kfp": "kfp-example", "vertex": "vertex-example"}
SCHEDULES = {"kfp": "nightly-kfp-example", "vertex": "weekly-vertex-example"}
DIGESTS = {name: f"registry.example/team/{repository(name)}@sha256:{'a' * 64}" for name in COMPONENTS}


@dataclasses.dataclass(frozen=True)
class Home:
    """An environment of the checkout, pointed at a fake platform by variables."""

    remote: Remote
    digests_path: Path

    def run(self, *arguments: str) -> Result:
        """Runs a command; its PipelineError is `result.exception`."""
        result = CliRunner().invoke(app, [*arguments, "--env", ENVIRONMENTS[self.remote.kind]])
        if result.exception and not isinstance(result.exception, PipelineError | SystemExit):
            raise result.exception
        return result

    def refused(self, *arguments: str) -> str:
        """Runs a command that must fail without sending or changing anything; returns its line."""
        with self.remote.server.counting() as sent:
            result = self.run(*arguments)
        assert isinstance(result.exception, PipelineError), result.output
        assert not [request for request in sent if not request.startswith("GET")]
        assert "\n" not in str(result.exception)
        return str(result.exception)


@pytest.fixture(params=remotes.KINDS)
def home(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    settings = {"namespace": "mnist"} if request.param == "kfp" else {}
    with remotes.remote(request.param, **settings) as remote:
        digests_path = tmp_path / "digests.json"
        digests_path.write_text(json.dumps(DIGESTS), encoding="utf-8")
        address = "HOST" if request.param == "kfp" else "API_ENDPOINT"
        variables = {address: remote.server.url, "AUTH": "bearer", "TOKEN": remotes.TOKEN}
        for name, value in (variables | {"DIGESTS": str(digests_path), "TIMEOUT_SECONDS": "5"}).items():
            monkeypatch.setenv(f"{PREFIX}{name}", value)
        yield Home(remote, digests_path)
