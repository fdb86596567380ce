"""Names in MLflow: of tags, the experiment, the alias, and the packages of a served model."""

EXPERIMENT = "seedlings"
CHAMPION = "champion"  # the alias of the best model

PARENT = "mlflow.parentRunId"
COMMIT = "mlflow.source.git.commit"
NAME = "mlflow.runName"
STAGE = "seedlings.stage"
RECORD = "seedlings.record"  # the digest of a stage's record
INPUTS = "seedlings.inputs"  # the digest of parameters, code and data
LOCK = "seedlings.lock"  # the digest of dvc.lock, set when all stages have run
COMPLETE = "seedlings.complete"
RESTORED = "seedlings.restored"
RESTORE = "seedlings.restore"
FIRST_RUN = "seedlings.first_run"
EXPERIMENT_NAME = "seedlings.experiment"
DIRTY = "seedlings.dirty"
CHANGED = "seedlings.changed"  # the parameters that differ from those of the preset
SEARCH = "seedlings.search"  # the name of a search, on its own run and on the runs of its trials
REPEATS = "seedlings.repeats"  # the name of repeats, likewise
TRIAL = "seedlings.trial"  # the name of the experiment of a search or of repeats
BASELINE = "seedlings.baseline"  # the commit from which these experiments start
OUTPUT = "seedlings.out."  # followed by the path of an output; the value is DVC's hash

# The packages that a served model requires.
SERVED_WITH = (
    "bcolz-zipline",
    "keras",
    "mlflow",
    "numpy",
    "opencv-python-headless",
    "pandas",
    "pillow",
    "pydantic",
    "ruamel-yaml",
    "tqdm",
)
# And TensorFlow: its package without code for GPUs, where there is one. The names of the packages,
# with the machines that they are for, as in pyproject.toml.
TENSORFLOW = {
    "tensorflow": "sys_platform != 'linux' or platform_machine != 'x86_64'",
    "tensorflow-cpu": "sys_platform == 'linux' and platform_machine == 'x86_64'",
}
