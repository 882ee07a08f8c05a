"""MLflow: where versions of models are kept, seen and named. Everything that knows MLflow stands here.

Models are kept in scikit-learn's own parts by skops, which reads types from a list and runs no code; a pickle would, and would name our
modules, which then could never move. A version is registered when everything it is made of has been written, and gets the alias last:
whatever dies on the way leaves a run that failed, and nothing that could be mistaken for a model. MLflow's import costs five seconds,
so whoever scores reads the card from the lake instead (`models/versions.py`).
"""

from __future__ import annotations

import json
import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from models.model import CHAMPION, Compared, Fitted, Model
from pilothouse.kernel.errors import ModelError

if TYPE_CHECKING:
    from mlflow import MlflowClient

FINGERPRINT: Final = "pilothouse.fingerprint"
SEEN_UNTIL: Final = "pilothouse.seen_until"
VERDICT: Final = "pilothouse.verdict"
_CARD: Final = "card.json"
_TRUSTED: Final = ("sklearn.", "scipy.", "numpy.")  # whose private parts are not on skops' list
_PATIENCE: Final = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}  # its own take minutes to say that nothing answers
_QUIET: Final = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ASYNC_TRACE_LOGGING": "false",  # a trace that is written later is lost with its process
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "GIT_PYTHON_REFRESH": "quiet",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


@dataclass(frozen=True)
class Registered:
    """A version in MLflow's registry."""

    name: str
    version: int
    run_id: str
    tags: Mapping[str, str]


class Tracking:
    """MLflow by its address: a server's URL, or a database with a folder for artifacts."""

    def __init__(self, url: str, artifacts: str | None = None) -> None:
        self._url = url
        self._artifacts = artifacts

    @property
    def where(self) -> str:
        """The address for people: no user, no password."""
        head, at, tail = self._url.rpartition("@")
        return f"{head.partition('://')[0]}://{tail}" if at else self._url

    def register(self, model: Model, fitted: Fitted, tags: Mapping[str, str], details: Mapping[str, Any]) -> Registered:
        """Keep a fitted model: parameters, metrics, pictures, signature, card; then make it a version."""
        with self.opened() as client:
            import mlflow

            experiment = self.experiment(client, model.name)
            with mlflow.start_run(experiment_id=experiment, run_name=f"{model.name} {tags[FINGERPRINT][:8]}", tags=dict(tags)) as run:
                mlflow.log_params(_parameters(model, fitted))
                mlflow.log_metrics(dict(fitted.metrics))
                mlflow.log_dict(dict(fitted.card), _CARD)
                for name, value in details.items():
                    mlflow.log_dict(value, f"{name}.json")
                for name, draw in fitted.figures.items():
                    mlflow.log_figure(draw(), f"plots/{name}.png")
                uri = _log_estimator(model, fitted)
            _ensure_named(client, model)
            made = client.create_model_version(model.name, uri, run.info.run_id, tags=dict(tags), model_id=uri.rpartition("/")[2])
            return Registered(model.name, int(made.version), run.info.run_id, dict(tags))

    def versions(self, name: str) -> list[Registered]:
        """Every version there is, the newest first."""
        with self.opened() as client:
            found = [
                Registered(name, int(each.version), str(each.run_id), dict(each.tags))
                for each in client.search_model_versions(f"name='{name}'")
            ]
        return sorted(found, key=lambda each: -each.version)

    def champion(self, name: str) -> Registered | None:
        """The version that the alias names, whoever gave it; None where there is none."""
        from mlflow.exceptions import MlflowException

        with self.opened() as client:
            try:
                found = client.get_model_version_by_alias(name, CHAMPION)
            except MlflowException as error:
                if error.error_code in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
                    return None
                raise
            return Registered(name, int(found.version), str(found.run_id), dict(found.tags))

    def card(self, registered: Registered) -> dict[str, Any]:
        """What a version scores with."""
        with self.opened():
            import mlflow

            card: dict[str, Any] = mlflow.artifacts.load_dict(f"runs:/{registered.run_id}/{_CARD}")
            return card

    def judge(self, registered: Registered, verdict: str, compared: Compared | None) -> None:
        """Write down what came of the comparison, on the version and in its run."""
        with self.opened() as client:
            client.set_model_version_tag(registered.name, str(registered.version), VERDICT, verdict)
            if compared is not None:
                told = {
                    "since": compared.since.isoformat(),
                    "until": compared.until.isoformat(),
                    "rows": compared.rows,
                    "candidate": dict(compared.candidate),
                    "incumbent": dict(compared.incumbent),
                }
                client.log_dict(registered.run_id, told, "comparison.json")

    def crown(self, registered: Registered) -> None:
        """Give a version the alias."""
        with self.opened() as client:
            client.set_registered_model_alias(registered.name, CHAMPION, str(registered.version))

    def forget(self, registered: Registered) -> None:
        """Remove a version with its run."""
        with self.opened() as client:
            client.delete_model_version(registered.name, str(registered.version))
            client.delete_run(registered.run_id)

    def estimator(self, registered: Registered) -> Any:
        """The scikit-learn estimator of a version, as MLflow loads it."""
        with self.opened():
            import mlflow

            return mlflow.sklearn.load_model(f"models:/{registered.name}/{registered.version}")

    @contextmanager
    def opened(self) -> Iterator[MlflowClient]:
        """A client, whatever MLflow says wrong translated."""
        os.environ.update({name: value for name, value in (_PATIENCE | _QUIET).items() if name not in os.environ})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its own use of its own dependencies
            import mlflow
            from mlflow.exceptions import MlflowException
            from sqlalchemy.exc import SQLAlchemyError

            for name in ("mlflow", "alembic"):
                logging.getLogger(name).setLevel(logging.ERROR)
            try:
                mlflow.set_tracking_uri(self._url)
                mlflow.set_registry_uri(self._url)
                yield mlflow.MlflowClient(self._url, self._url)
            except (MlflowException, SQLAlchemyError, OSError) as error:
                raise ModelError(
                    f"MLflow at {self.where} fails: {_first_line(error)}",
                    hint="see whether it runs, or set [mlflow] url; nothing was registered, and the next training repairs it",
                ) from error

    def experiment(self, client: MlflowClient, name: str) -> str:
        """The identity of an experiment, made where there is none of that name."""
        found = client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        return str(client.create_experiment(name, artifact_location=f"{self._artifacts}/{name}" if self._artifacts else None))


def artifact_folder(home: Path) -> str:
    """Where artifacts lie on this machine."""
    return str((home / "mlflow" / "artifacts").absolute())


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[:300]


def _parameters(model: Model, fitted: Fitted) -> dict[str, Any]:
    return {
        "kind": type(model.kind).__name__,
        "features": model.features.table,
        "columns": len(model.features.columns),
        "target": f"{model.target.table}.{model.target.column}",
        "seen_until": fitted.seen_until.isoformat(),
        "hold_out": model.split.hold_out,
        "calibrate": model.split.calibrate,
    }


def _log_estimator(model: Model, fitted: Fitted) -> str:
    import mlflow
    import sklearn
    from mlflow.models import infer_signature

    foretold = fitted.estimator.predict_proba(fitted.example)
    logged = mlflow.sklearn.log_model(
        fitted.estimator,
        name=model.name,
        serialization_format="skops",
        skops_trusted_types=_trusted_types(fitted.estimator),
        pyfunc_predict_fn="predict_proba",
        signature=infer_signature(fitted.example, foretold),
        input_example=fitted.example,
        # named, because finding them out loads the model in another process for ten seconds
        pip_requirements=[f"scikit-learn=={sklearn.__version__}", "skops", "pandas", "numpy"],
    )
    return str(logged.model_uri)


def _trusted_types(estimator: Any) -> list[str]:
    """The private parts of scikit-learn and scipy that an estimator holds; ModelError where it holds something else."""
    import skops.io

    found = [str(name) for name in skops.io.get_untrusted_types(data=skops.io.dumps(estimator))]
    for name in found:
        if not name.startswith(_TRUSTED):
            raise ModelError(
                f"the estimator holds {name}, and reading it back would run that", hint="build it of scikit-learn's own parts alone"
            )
    return found


def _ensure_named(client: MlflowClient, model: Model) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(model.name, tags={"owner": model.owner}, description=model.description)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def seen_until(registered: Registered) -> date:
    """The day from which on a version has seen nothing; ModelError where somebody else registered it."""
    told = registered.tags.get(SEEN_UNTIL)
    if told is None:
        raise ModelError(
            f"{registered.name}: version {registered.version} does not say what it has seen",
            hint="it was registered by hand; `pilothouse model train` makes one that does",
        )
    return date.fromisoformat(told)


def as_json(compared: Compared | None) -> str | None:
    """A comparison as plain JSON."""
    if compared is None:
        return None
    return json.dumps({"rows": compared.rows, "candidate": dict(compared.candidate), "incumbent": dict(compared.incumbent)}, sort_keys=True)
