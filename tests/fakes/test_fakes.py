"""The fakes of the two platforms refuse what the platforms refuse, asked by the platforms' own clients."""

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kfp import compiler, dsl

from tests.fakes.kfp_server import KfpServer
from tests.fakes.loopback import Fault
from tests.fakes.vertex_server import VertexServer


def work(epochs: int) -> int:
    return epochs


def two_tasks(epochs: int = 1, name: str = "") -> None:
    task = dsl.component(work, base_image="example.com/image@sha256:0", install_kfp_package=False)
    task(epochs=task(epochs=epochs).output)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("fakes") / "pipeline.yaml"
    compiler.Compiler().compile(dsl.pipeline(name="two-tasks")(two_tasks), str(path))
    return path


@pytest.fixture
def kfp_server() -> Iterator[KfpServer]:
    with KfpServer(token="secret", page_limit=3) as server:
        yield server


def kfp_client(server: KfpServer, token: str | None = "secret") -> Any:
    import kfp

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # "only works with Kubeflow Pipeline v2"
        return kfp.Client(host=server.url, existing_token=token)


def uploaded(client: Any, package: Path) -> dict[str, str]:
    pipeline = client.upload_pipeline(str(package), "two-tasks")
    version = client.upload_pipeline_version(str(package), "abc", pipeline_id=pipeline.pipeline_id)
    return {"pipeline_id": pipeline.pipeline_id, "version_id": version.pipeline_version_id}


def test_kfp_carries_a_run_from_upload_to_success(kfp_server: KfpServer, package: Path) -> None:
    client = kfp_client(kfp_server)
    experiment = client.create_experiment("e")
    run = client.run_pipeline(
        experiment.experiment_id, "r", params={"epochs": 2}, **uploaded(client, package)
    )
    done = client.wait_for_run_completion(run.run_id, timeout=10, sleep_duration=0)
    assert done.state == "SUCCEEDED"
    names = [task.display_name for task in done.run_details.task_details]
    assert {"work", "work-2", "work-driver(0)", "root(0)", "executor(0)", None} < set(names)
    assert names.count("executor(0)") == 2
    assert kfp_server.changes()[0] == "POST /apis/v2beta1/experiments"


def test_kfp_refusals(kfp_server: KfpServer, package: Path) -> None:
    from kfp_server_api.exceptions import ApiException

    client = kfp_client(kfp_server)
    experiment = client.create_experiment("e").experiment_id
    version = uploaded(client, package)
    schedule = {"experiment_id": experiment, "job_name": "s", "cron_expression": "0 0 2 * * *"}
    unknown = {"pipeline_id": version["pipeline_id"], "version_id": "nope"}
    sunday_is_7 = {"cron_expression": "0 0 2 * * 7"}
    zoned = {"cron_expression": "TZ=UTC 0 2 * * *"}
    refused: list[tuple[int, Callable[[], Any]]] = [
        (400, lambda: client.run_pipeline(experiment, "r", params={"epochs": "two"}, **version)),
        (400, lambda: client.run_pipeline(experiment, "r", params={"epochs": 1.5}, **version)),
        (400, lambda: client.run_pipeline(experiment, "r", params={"epoch": 1}, **version)),
        (404, lambda: client.run_pipeline(experiment, "r", **unknown)),
        (404, lambda: client.run_pipeline("nope", "r", **version)),
        (409, lambda: client.upload_pipeline(str(package), "two-tasks")),
        (409, lambda: client.upload_pipeline_version(str(package), "abc", version["pipeline_id"])),
        (400, lambda: client.create_recurring_run(**schedule, max_concurrency=11, **version)),
        (400, lambda: client.create_recurring_run(**schedule, max_concurrency=0, **version)),
        (400, lambda: client.create_recurring_run(**schedule | sunday_is_7, **version)),
        (400, lambda: client.create_recurring_run(**schedule | zoned, **version)),
        (404, lambda: client.enable_recurring_run("nope")),
        (400, lambda: client.list_runs(experiment_id=experiment, page_token="nope")),
    ]
    for status, call in refused:
        with pytest.raises(ApiException) as error:
            call()
        assert error.value.status == status
    assert kfp_server.recurring_runs == {} == kfp_server.runs
    kfp_server.token = "another"
    with pytest.raises(ApiException, match="401"):
        client.list_runs(experiment_id=experiment)


def test_kfp_surprises_as_the_real_server_does(kfp_server: KfpServer, package: Path) -> None:
    """Seen on 2.17.0; each of these was once a fault of ours that a kinder fake had let pass."""
    from kfp_server_api.exceptions import ApiException

    client = kfp_client(kfp_server)
    experiment = client.create_experiment("a+b").experiment_id
    version = uploaded(client, package)
    with pytest.raises(ValueError, match="No experiment is found"):
        client.get_experiment(experiment_name="a+b")
    with pytest.raises(ApiException, match="500"):
        client.create_experiment("x" * 129)
    kfp_server.outcome = "HANG"
    run = client.run_pipeline(experiment, "r", **version)
    client.terminate_run(run.run_id)
    client.get_run(run.run_id)
    ended = client.get_run(run.run_id)
    assert (ended.state, [each.state for each in ended.state_history]) == ("FAILED", ["CANCELING", "FAILED"])
    with pytest.raises(ApiException, match="Row not found"):
        client.terminate_run(run.run_id)


def test_kfp_fires_a_missed_time_and_deletes_what_runs(kfp_server: KfpServer, package: Path) -> None:
    client = kfp_client(kfp_server)
    experiment = client.create_experiment("e").experiment_id
    version = uploaded(client, package)
    nightly = {"cron_expression": "0 30 2 * * *", "no_catchup": True, "max_concurrency": 1}
    row = client.create_recurring_run(experiment, "s", **nightly, **version)
    kfp_server.elapse(days=1)
    assert len(kfp_server.runs) == 1
    client.disable_recurring_run(row.recurring_run_id)
    kfp_server.elapse(days=3)
    assert len(kfp_server.runs) == 1
    client.enable_recurring_run(row.recurring_run_id)
    assert len(kfp_server.runs) == 2
    last = list(kfp_server.runs)[-1]
    client.delete_recurring_run(row.recurring_run_id)
    for _ in range(9):
        client.get_run(last)
    assert client.get_run(last).state == "PENDING"


def test_kfp_accepts_five_fields_and_twins_as_the_real_server_does(
    kfp_server: KfpServer, package: Path
) -> None:
    client = kfp_client(kfp_server)
    experiment = client.create_experiment("e").experiment_id
    version = uploaded(client, package)
    for _ in range(4):
        client.create_recurring_run(experiment, "s", cron_expression="0 2 * * *", **version)
    assert len(kfp_server.enabled("s")) == 4
    first = client.list_recurring_runs(experiment_id=experiment, page_size=100)
    rest = client.list_recurring_runs(experiment_id=experiment, page_token=first.next_page_token)
    assert (len(first.recurring_runs), len(rest.recurring_runs), rest.next_page_token) == (3, 1, None)


def test_a_lost_acknowledgement_has_acted_and_a_503_has_not(kfp_server: KfpServer, package: Path) -> None:
    client = kfp_client(kfp_server)
    experiment = client.create_experiment("e").experiment_id
    version = uploaded(client, package)
    for fault, runs in ((Fault(status=503), 0), (Fault(), 0), (Fault(when="after"), 1)):
        kfp_server.faults[len(kfp_server.log)] = fault
        with pytest.raises(Exception, match=r"503|Connection aborted"):
            client.run_pipeline(experiment, "r", **version)
        assert len(kfp_server.runs) == runs


def test_vertex_refusals(package: Path) -> None:
    import yaml
    from google.api_core import exceptions
    from google.api_core.client_options import ClientOptions
    from google.cloud import aiplatform_v1
    from google.oauth2.credentials import Credentials

    parent = "projects/p/locations/l"
    spec = yaml.safe_load(package.read_text(encoding="utf-8"))
    with VertexServer(token="secret", page_limit=3) as server:
        access = {
            "credentials": Credentials("secret"),
            "transport": "rest",
            "client_options": ClientOptions(api_endpoint=server.url),
        }
        jobs = aiplatform_v1.PipelineServiceClient(**access)
        schedules = aiplatform_v1.ScheduleServiceClient(**access)

        def job(**change: Any) -> dict[str, Any]:
            runtime = {"gcs_output_directory": "gs://b/r", "parameter_values": {"epochs": 2}}
            return {"display_name": "j", "pipeline_spec": spec, "runtime_config": runtime, **change}

        def create(job_id: str = "a-1", **change: Any) -> Any:
            return jobs.create_pipeline_job(parent=parent, pipeline_job=job(**change), pipeline_job_id=job_id)

        def schedule(cron: str = "TZ=UTC 0 2 * * *", concurrency: int = 1) -> Any:
            launch = {"parent": parent, "pipeline_job": job()}
            row = {"display_name": "s", "cron": cron, "max_concurrent_run_count": concurrency}
            return schedules.create_schedule(
                parent=parent, schedule={**row, "create_pipeline_job_request": launch}
            )

        create()
        refused: list[tuple[type[Exception], Callable[[], Any]]] = [
            (exceptions.Conflict, create),
            (exceptions.BadRequest, lambda: create("A_1")),
            (exceptions.BadRequest, lambda: create("a-2", labels={"Upper": "x"})),
            (exceptions.BadRequest, lambda: create("a-2", service_account="nobody")),
            (exceptions.BadRequest, lambda: create("a-2", runtime_config={"gcs_output_directory": "/tmp"})),
            (exceptions.NotFound, lambda: jobs.get_pipeline_job(name=f"{parent}/pipelineJobs/b")),
            (exceptions.BadRequest, lambda: schedule("0 0 2 * * *")),
            (exceptions.BadRequest, lambda: schedule("TZ=Mars/Base 0 2 * * *")),
            (exceptions.BadRequest, lambda: schedule(concurrency=0)),
            (exceptions.NotFound, lambda: schedules.pause_schedule(name=f"{parent}/schedules/9")),
        ]
        for expected, call in refused:
            with pytest.raises(expected):
                call()
        assert (len(server.jobs), len(server.schedules)) == (1, 0)
        assert {schedule().state.name for _ in range(4)} == {"ACTIVE"}
        assert len(list(schedules.list_schedules(parent=parent))) == 4  # in two pages
        server.forbidden = True
        with pytest.raises(exceptions.Forbidden):
            create("a-3")
