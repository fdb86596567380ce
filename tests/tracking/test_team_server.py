"""Four experiments at once, into a team's server."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import mlflow
import pytest
import servers
from project import STAGES, Project

CREDENTIALS = {
    "MLFLOW_TRACKING_USERNAME": "admin",
    "MLFLOW_TRACKING_PASSWORD": "a long password of the tests",
}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """MLflow as the README starts it: PostgreSQL, artifacts through the server, basic auth."""
    port = servers.free_port()
    command = (
        *("mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "2"),
        *("--artifacts-destination", str(tmp_path / "artifacts"), "--app-name", "basic-auth"),
    )
    env = {
        **os.environ,
        "MLFLOW_AUTH_ADMIN_PASSWORD": CREDENTIALS["MLFLOW_TRACKING_PASSWORD"],
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "a secret of the tests",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # eight processes that nothing here needs
    }
    # Without a cache every request of every run has its password hashed anew.
    packaged = Path(mlflow.__file__).parent / "server" / "auth" / "basic_auth.ini"
    config = tmp_path / "auth.ini"
    text = packaged.read_text(encoding="utf-8")
    config.write_text(f"{text}\nauth_cache_ttl_seconds = 60\n", encoding="utf-8")
    env["MLFLOW_AUTH_CONFIG_PATH"] = str(config)
    with servers.postgresql(tmp_path / "postgresql") as database:
        store = ("--backend-store-uri", database)
        with servers.running(*command, *store, port=port, folder=tmp_path, env=env):
            yield f"http://127.0.0.1:{port}"


@pytest.mark.slow
@pytest.mark.nightly
def test_four_at_once_into_a_teams_server(
    with_fake_stages: Callable[[], Project], server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = with_fake_stages()
    project.tracking = True
    # The machine of the tests is busy with four experiments at once: the server is given time.
    patience = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "120"}
    project.env |= {"MLFLOW_TRACKING_URI": server, **CREDENTIALS, **patience}
    for epochs in (1, 3, 4, 5):
        change = f"baseline.epochs={epochs}"
        project.run("dvc", "exp", "run", "--quiet", "--queue", "-S", change, "evaluate")
    project.run("dvc", "queue", "start", "--quiet", "-j", "4")
    project.wait_for_queue()
    assert project.run("dvc", "queue", "status").count("Success") == 4
    assert "new" in project.run("seedlings", "sync", "--all")
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    check(mlflow.MlflowClient(server))
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "another")
    with pytest.raises(mlflow.exceptions.MlflowException, match="401|authenticated"):
        mlflow.MlflowClient(server).search_experiments()


def check(client: mlflow.MlflowClient) -> None:
    """Assert that each of five experiments has a run, with its stages, its curve and a model."""
    experiment = client.get_experiment_by_name("seedlings")
    runs = client.search_runs([experiment.experiment_id])
    parents = {
        run.data.params["baseline.epochs"]: run
        for run in runs
        if "mlflow.parentRunId" not in run.data.tags
    }
    assert sorted(parents) == ["1", "2", "3", "4", "5"]
    for epochs, parent in parents.items():
        children = [
            run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id
        ]
        assert sorted(run.info.run_name for run in children) == sorted(STAGES)
        assert parent.outputs.model_outputs
        [baseline] = [run for run in children if run.info.run_name == "baseline"]
        history = client.get_metric_history(baseline.info.run_id, "val_loss")
        assert len(history) == int(epochs)
