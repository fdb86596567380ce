"""The registry: the model version with the alias `champion` in MLflow."""

import getpass
import re
from datetime import UTC, datetime

from seedlings.config import paths
from seedlings.errors import SeedlingsError
from seedlings.report import summaries
from seedlings.tracking import client, comparisons, git
from seedlings.tracking.tags import CHAMPION, EXPERIMENT, LOCK

_LONGEST_DESCRIPTION = 5000  # characters, in MLflow's databases
ADDRESS = f"models:/{EXPERIMENT}@{CHAMPION}"


def promote(name: str, confidence: float, *, force: bool = False) -> str:
    """Promote a revision's model if it is better than the champion; return its version and why.

    `name` is as in comparisons.side. The test is that of comparisons.changes, on the same test
    images, at the level `confidence`; the mean score of the images must be higher, too. Raises
    SeedlingsError if the model is not better, unless `force` is set, and always if the revision is
    not evaluated on test images.
    """
    challenger = comparisons.side(name)
    _check_split(challenger)
    with client.reachable():
        tracker = client.Tracker()
        run = next(iter(tracker.runs({LOCK: challenger.revision.digest})), None)
        if run is None:
            raise SeedlingsError(f"{name} is not in MLflow yet: run `seedlings sync` first")
        try:
            is_better, reason = _reason(tracker.champion(), challenger, confidence)
        except SeedlingsError as error:
            is_better, reason = False, f"it cannot be compared with the champion ({error})"
        if not is_better and not force:
            raise SeedlingsError(
                f"{name} does not become the champion: {reason}; use --force to promote it"
            )
        text = reason if is_better else f"forced, although {reason}"
        tags = {
            "seedlings.promoted_by": git.ask("config", "user.email") or getpass.getuser(),
            "seedlings.promoted_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "seedlings.promoted_because": text,
        }
        version = tracker.promote(run, tags, _description(tracker.card(run)))
        return f"version {version} now: {text}"


def described(address: str) -> str:
    """Return a model in MLflow in words: its version, if it is the champion, and its main metric.

    `address` is `ADDRESS`, another of MLflow's, or the id of a run. Raises MLflow's exceptions.
    """
    run, text = _run_of(address)
    if run is None or not any(name.startswith("finetuned/") for name in run.data.metrics):
        return text
    return f"{text}, {summaries.score(run.data.metrics, summaries.split(run.data.params))}"


def _description(card: str) -> str:
    """Return a model card without its YAML, and with the sections that fit into a description."""
    text = re.sub(r"\A---\n.*?\n---\n", "", card, flags=re.DOTALL).strip()
    if len(text) <= _LONGEST_DESCRIPTION:
        return text
    rest = f"\n\nThe rest is in {paths.MODEL_CARD.name}, an artifact of the model."
    ends = [heading.start() for heading in re.finditer("^#+ ", text, re.MULTILINE)]
    kept = max(end for end in ends if end + len(rest) <= _LONGEST_DESCRIPTION)
    return text[:kept].rstrip() + rest


def lock_of(address: str) -> str | None:
    """Return the digest of the dvc.lock of a model in MLflow, if its run has it; see `described`.

    Raises MLflow's exceptions.
    """
    run, _ = _run_of(address)
    return run.data.tags.get(LOCK) if run else None


def card_of(address: str) -> str:
    """Return the model card of a model in MLflow; empty if it has none; see `described`.

    Raises MLflow's exceptions.
    """
    run, _ = _run_of(address)
    return client.Tracker().card(run) if run and client.has_model(run) else ""


def _run_of(address: str) -> tuple[client.Run | None, str]:
    """Return the run of a model in MLflow, if it is known, and the model's version in words."""
    tracker = client.Tracker()
    champion = tracker.champion() if address == ADDRESS else None
    run = tracker.find(champion[1] if champion else address)
    return run, f"the champion, version {champion[0]}" if champion else address


def _check_split(challenger: comparisons.Side) -> None:
    """Raise SeedlingsError if a side is not evaluated on test images."""
    if challenger.split != "test":
        raise SeedlingsError(
            f"{challenger.name}: expected a revision with `evaluate.split: test`, found "
            f"`evaluate.split: {challenger.split}`, as the champion is chosen on test images; "
            "restore it, run `dvc exp run -S evaluate.split=test` and `seedlings sync`, and "
            "promote the result"
        )


def _reason(
    champion: tuple[str, str] | None, challenger: comparisons.Side, confidence: float
) -> tuple[bool, str]:
    """Return whether the challenger is better than the champion, and the reason."""
    if champion is None:
        return True, "there was no champion"
    version, run_id = champion
    present = comparisons.side(run_id)
    if present.revision.digest == challenger.revision.digest:
        return False, f"it is the champion already (version {version})"
    found = comparisons.changes(present, challenger)
    if not found.same_images:
        return False, f"the test images or labels of version {version} are different"
    groups = "" if found.groups == found.common else f" in {found.groups} groups"
    text = (
        f"of {found.common} test images{groups} {len(found.better)} are answered better and "
        f"{len(found.worse)} worse than by version {version}, and the mean score of an image "
        f"changes by {found.gain:+.4g} (p = {found.p_value:.2g})"
    )
    return found.is_better and found.p_value < 1.0 - confidence, text
