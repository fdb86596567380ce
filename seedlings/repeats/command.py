"""The repeats as a whole: checks, the experiments of the seeds, and the result."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from seedlings import params as all_params
from seedlings.config import params
from seedlings.repeats import experiments, results
from seedlings.repeats.experiments import Repeat, Repeats
from seedlings.repeats.run_log import RunLog
from seedlings.runners import clones, executions
from seedlings.runners.executions import Execution, Job, Place
from seedlings.runners.runner import Runner
from seedlings.tracking import git

Say = Callable[[str], None]
# They compute a row for each image, and no seed changes a row.
_SHARED = ("download", "split", "segment", "extract")


def run(name: str, *, seeds: int, jobs: int, say: Say) -> None:
    """Run the pipeline with the seeds 1 to `seeds`; see the command `repeat`.

    Raises SeedlingsError for a name that is not valid or in use, outside a Git repository, with
    changes that are not committed, and if an experiment fails; what is finished is kept.
    """
    git.check_name(name, "NAME")
    commit = clones.start_commit()
    tree = params.read()
    all_params.check(tree)
    command = f"the command `seedlings repeat {name}`"
    with executions.alone("repeats", name, command) as folder:
        known = {
            seed: experiments.read(seed, found, tree)
            for seed, found in experiments.commits(name, commit).items()
            if seed <= seeds
        }
        log = RunLog(name, commit)
        missing = [seed for seed in range(1, seeds + 1) if seed not in known]
        if missing:
            with executions.opened(folder, commit, min(jobs, len(missing))) as place:
                repeater = _Repeater(name, place, say=say, log=log, tree=tree)
                known |= repeater.run(missing)
        found = Repeats(name, tuple(known[seed] for seed in sorted(known)))
        log.complete(found)
        for line in results.lines(found):
            say(line)


class _Repeater(Runner):
    _noun = "seeds"

    def __init__(
        self, name: str, place: Place, *, say: Say, log: RunLog, tree: Mapping[str, Any]
    ) -> None:
        super().__init__(place, say=say)
        self._name, self._log, self._tree = name, log, tree
        self._found: dict[int, Repeat] = {}
        self._unlogged: list[Repeat] = []

    def run(self, seeds: Sequence[int]) -> dict[int, Repeat]:
        """Run the experiments of seeds; return their results."""
        lock = self.share(_SHARED, Job("shared", {}))
        self.run_jobs(
            Job(experiments.name(self._name, seed), experiments.parameters(seed), lock=lock)
            for seed in seeds
        )
        return self._found

    def _succeed(self, execution: Execution) -> None:
        job, commit = execution.job, execution.hand_over()
        seed = int(job.values[experiments.SEEDS[0]])
        result = experiments.read(seed, commit, self._tree)
        self._found[seed] = result
        self._unlogged.append(result)
        main = Repeats(self._name, (result,)).metrics[0]
        self._say(f"{job.name}: {main.title} {result.value(main):.4f}")

    def _use_time(self) -> None:
        for result in self._unlogged:
            self._log.log(Repeats(self._name, (result,)), result)
        self._unlogged = []
