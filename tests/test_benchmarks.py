"""The benchmarks that train networks on few or drawn images, in their small setting."""

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from imports import ROOT
from project import STAGES

from benchmarks import (
    __main__,
    all_stages,
    coverage,
    few_images,
    networks,
    portability,
    quality,
    trials,
)
from seedlings import images
from seedlings.config import stage
from seedlings.networks.runtime import keras


def run(name: str, *options: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", "--small", *options],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_benchmark_has_its_module() -> None:
    assert all((ROOT / "benchmarks" / f"{name}.py").is_file() for name in __main__.NAMES)


def test_all_stages_run_in_the_order_of_the_pipeline(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []
    monkeypatch.setattr(stage, "run", lambda name, observe: ran.append(name))
    monkeypatch.setattr(sys, "argv", ["all_stages", "on"])
    monkeypatch.chdir(ROOT)
    all_stages.main()
    assert ran == STAGES


def test_outputs_are_digested_by_stage_and_path(tmp_path: Path) -> None:
    (tmp_path / "dvc.yaml").write_text(
        "stages:\n  b: {cmd: x, outs: [two, one.txt]}\n  a: {cmd: x, outs: [three.txt]}\n"
    )
    (tmp_path / "two" / "inner").mkdir(parents=True)
    files = ("two/inner/z.txt", "one.txt", "three.txt")
    for name in files:
        (tmp_path / name).write_text(name)
    one, two, three = (hashlib.sha256(name.encode()).hexdigest() for name in files)
    found = portability.digests(tmp_path)
    assert found == {"b": {"two/inner/z.txt": one, "one.txt": two}, "a": {"three.txt": three}}
    assert list(found) == ["b", "a"]


def test_fewer_images_are_the_first_ones_of_each_class() -> None:
    table = pd.DataFrame(
        {
            "label": ["a", "b"] * 12,
            "split": ["train"] * 16 + ["validation"] * 4 + ["test"] * 4,
        }
    )
    chosen = {}
    for count in (2, 5, 8):
        kept = trials.fewer(table, count, seed=1)
        train = kept[kept["split"] == "train"]
        assert train["label"].value_counts().to_dict() == {"a": count, "b": count}
        assert kept["split"][16:].tolist() == table["split"][16:].tolist()
        chosen[count] = set(train.index)
    assert chosen[2] < chosen[5] < chosen[8] == set(range(16))
    other = trials.fewer(table, 2, seed=2)
    assert set(other.index[other["split"] == "train"]) != chosen[2]


def test_the_network_from_scratch_is_the_slim_one_with_normalisation() -> None:
    backbone = networks.untrained((48, 48, 3), 0.25)
    assert backbone.feature_extractor.count_params() == 0
    layers = backbone.trainable_layers
    assert layers is not None
    outputs = 2 * 16 + 2 * 32 + 3 * 64 + 6 * 128  # of 13 convolutions
    assert layers.count_params() == 920_784 - outputs + 4 * outputs
    assert all(layer.trainable for layer in layers.layers)
    kinds = [type(layer) for layer in layers.layers]
    assert kinds.count(keras.layers.Conv2D) == kinds.count(keras.layers.BatchNormalization) == 13


@pytest.mark.parametrize("setting", [coverage.shares(0.8, 0.2), coverage.common_errors(0.3)])
def test_groups_cover_more_and_reject_less_than_images(setting: coverage.Setting) -> None:
    metric, *_, before, _, now, _, test_before, test_now = coverage.line(
        setting, 12, "20-180", 40
    ).split()
    shares = [float(text.removesuffix("%")) for text in (before, now, test_before, test_now)]
    assert metric == setting.metric
    assert shares[0] < 60 < 80 < shares[1]
    assert shares[2] > 40 > 20 > shares[3]
    assert len(coverage.line(setting, 12, "1", 2).split()) == len(
        coverage.line(setting, 12, "100", 2, with_tests=False).split()
    )


@pytest.mark.parametrize(
    "setting", [*coverage.SETTINGS, *coverage.ERRORS, *coverage.EXTREME], ids=lambda s: s.title
)
def test_the_truth_of_a_simulation_is_its_mean(setting: coverage.Setting) -> None:
    rng = np.random.default_rng(1)
    values = setting.draw(np.arange(100_000), rng)
    error = values.std() / np.sqrt(len(values))
    assert values.mean() == pytest.approx(setting.truth, abs=4 * error)


def test_curves_are_drawn(tmp_path: Path) -> None:
    curves = {"one": [[0.2, 0.3], [0.5, 0.6]], "two": [[0.1, 0.1], [0.9, 0.8]]}
    few_images.draw(curves, (10, 20), tmp_path / "curves.png")
    assert images.read(tmp_path / "curves.png").std() > 5
    assert (tmp_path / "curves.png").stat().st_size < 100_000


def test_variants_of_quality_are_compared_on_the_same_images_and_seeds() -> None:
    right, wrong = np.array([True, True, False, True]), np.array([True, False, False, True])
    losses = np.array([0.1, 0.2, 3.0, 0.3])
    reference = [quality.Score(right, losses, right, losses / 2, 2.0)] * 2
    others = [
        quality.Score(wrong, losses + shift, right, losses, 4.0)
        for shift in ([0.5, 0.1, 0.0, 0.2], [0.1, 0.1, 0.0, 0.2])
    ]
    shown = quality.line("other", others, reference).split()
    differences = np.array([0.3, 0.1, 0.0, 0.2])
    error = differences.std(ddof=1) / 2
    one = ["50.0%", "1.050", "+0.150", "±", f"{error:.3f}"]
    error_8 = losses.std(ddof=1) / 4  # eight views have half of the losses in the reference
    eight = ["75.0%", "0.900", "+0.450", "±", f"{error_8:.3f}"]
    assert shown == ["other", "2", *one, *eight, "4.0"]
    numbers = ["75.0%", "0.900", "75.0%", "0.450", "2.0"]
    assert quality.line("the preset", reference, reference).split()[2:] == ["2", *numbers]


def test_a_variant_has_a_share_of_the_steps_and_of_the_samples_of_the_average() -> None:
    whole = quality.settings_of([], share=1.0).finetune
    third = quality.settings_of([], share=1 / 3).finetune
    assert third.steps == pytest.approx((whole.steps or 0) / 3)
    assert 1 - third.optimizer.average_weights == pytest.approx(
        3 * (1 - whole.optimizer.average_weights)
    )
    half = quality.settings_of(["finetune.batch_size=128"], share=1.0).finetune
    assert half.steps == (whole.steps or 0) / 2


@pytest.mark.slow
def test_training_prints_images_a_second_of_each_way() -> None:
    shown = run("training")
    rows = re.findall(r"^(\S.+?) {2,}(\d+) +([\d.]+)", shown, re.MULTILINE)
    names = [name for name, _, _ in rows]
    assert names[:4] == ["fit", "bare network", "one replica", "float32"]
    assert "tf.data, layers of Keras, bfloat16" in names
    assert names[-2:] == ["24 x 24", "24 x 24, float32"]
    assert {name: ratio for name, _, ratio in rows}["fit"] == "1.00"
    assert shown.count("filters first, the full size in all epochs: ") == 2


@pytest.mark.slow
def test_transfer_prints_a_line_for_each_network() -> None:
    header, *lines = run("transfer").splitlines()
    assert header.split()[:4] == ["images", "network", "trained", "test"]
    row = r"the sample +quarter, drawn +(head|block 5) +([\d.]+)% +([\d.]+)% to +([\d.]+)% .+"
    found = [re.fullmatch(row, line) for line in lines]
    assert all(found)
    assert [match[1] for match in found if match] == ["head", "block 5"]
    for match in filter(None, found):
        accuracy, low, high = (float(match[group]) for group in (2, 3, 4))
        assert low <= accuracy <= high


@pytest.mark.slow
def test_few_images_prints_a_line_for_each_count_and_draws_it(tmp_path: Path) -> None:
    picture = tmp_path / "few_images.png"
    header, line = run("few_images", "--picture", str(picture)).splitlines()
    assert re.split(" {2,}", header) == ["images of a class", "drawn", "random", "from scratch"]
    assert re.fullmatch(r"3 +(\d+\.\d% \(\d+\.\d% to \d+\.\d%\) *){3}", line)
    assert images.read(picture).std() > 5


@pytest.mark.slow
def test_filters_draws_both_networks(tmp_path: Path) -> None:
    picture = tmp_path / "filters.png"
    assert run("filters", str(picture)) == "filters.png: 5 layers\n"
    grid = images.read(picture)
    assert grid.shape[1] > 8 * 96
    assert grid.std() > 5


@pytest.mark.slow
def test_samplers_prints_the_best_of_each_search_and_the_means() -> None:
    first, _, *lines = run("samplers", "--trials", "2", "--seeds", "1").splitlines()
    assert first == "36 validation images, 34 test images, 2 trials"
    rows = [line.split() for line in lines]
    assert [row[0] for row in rows] == ["unchanged", "tpe", "tpe", "random", "random"]
    for found, mean in ((rows[1], rows[2]), (rows[3], rows[4])):
        assert (found[1], mean[1]) == ("1", "mean")
        assert found[3] in ("1", "2")
        assert [found[2], found[4]] == mean[2:]  # the mean of one seed
