"""The settings of the processor: when they are set, unset and too late, and who is refused."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from imports import ROOT

from seedlings import processor
from seedlings.errors import SeedlingsError

ISA = "ONEDNN_MAX_CPU_ISA"
# A convolution whose bytes depend on the instructions that oneDNN uses.
CONVOLUTION = """
import hashlib, sys, warnings
warnings.simplefilter("error")
from seedlings import processor
def compute():
    import numpy as np
    from seedlings.networks.runtime import tf
    rng = np.random.default_rng(0)
    images = tf.constant(rng.normal(size=(4, 24, 24, 32)).astype(np.float32))
    kernels = tf.constant(rng.normal(size=(3, 3, 32, 48)).astype(np.float32))
    convolved = tf.nn.conv2d(images, kernels, 1, "SAME").numpy()
    return hashlib.md5(convolved.tobytes()).hexdigest()
"""


def python(code: str, **settings: str) -> str:
    """What an own process prints, without the settings of this one."""
    env = {key: value for key, value in os.environ.items() if key not in processor.SETTINGS}
    env |= {"PYTHONPATH": str(ROOT), **settings}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("module", ["run", "cli", "packaging.bundle"])
def test_the_settings_can_be_set_before_tensorflow_reads_them(module: str) -> None:
    code = f"import sys, seedlings.{module}; print('tensorflow' in sys.modules)"
    assert python(code) == "False"


def test_settings_are_set_and_unset_in_this_process_and_for_a_child(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(processor, "_tensorflow_has_computed", lambda: False)
    monkeypatch.delenv(ISA, raising=False)
    processor.use(portable=True)
    assert processor.current() == {ISA: "AVX2"}
    assert ISA not in processor.environment(portable=False)
    processor.use(portable=False)
    assert processor.current() == {ISA: None}
    assert processor.environment(portable=True)[ISA] == "AVX2"
    assert ISA not in os.environ


def test_a_setting_that_is_too_late_is_told_once_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    monkeypatch.setattr(processor, "_tensorflow_has_computed", lambda: True)
    monkeypatch.delenv(ISA, raising=False)
    processor.use(portable=False)
    assert not recwarn.list
    for _ in range(2):
        processor.use(portable=True)
    [warning] = recwarn.list
    assert str(warning.message) == (
        "expected TensorFlow to compute with `portable: true`, found that it has computed with "
        "other settings: results may differ in the last bits; set ONEDNN_MAX_CPU_ISA=AVX2 in the "
        "environment before Python starts"
    )
    with pytest.warns(RuntimeWarning, match="`portable: false`.*; unset ONEDNN_MAX_CPU_ISA in the"):
        processor.use(portable=False)


@pytest.mark.nightly
def test_onednn_reads_its_setting_at_the_first_operation_and_only_then() -> None:
    printed = python(CONVOLUTION + "print(compute())", ONEDNN_MAX_CPU_ISA="SSE41")
    imported = "import seedlings.networks.runtime\nimport os\n"
    set_late = "processor.SETTINGS['ONEDNN_MAX_CPU_ISA'] = 'SSE41'; processor.pin()\n"
    after_import = python(CONVOLUTION + imported + set_late + "print(compute())")
    assert after_import == printed
    told = "\ntry: processor.pin()\nexcept RuntimeWarning as e: print('late', e)\n"
    code = CONVOLUTION + "before = compute()\n" + told + "print(before, compute())"
    late, hashes = python(code).splitlines()
    assert late.startswith("late expected TensorFlow to compute with `portable: true`")
    assert len({*hashes.split()}) == 1
    assert printed not in hashes


@pytest.mark.parametrize(
    ("machine", "avx2", "found"),
    [("aarch64", True, r"Processor X, of the type aarch64"), ("x86_64", False, "X, without AVX2")],
)
def test_a_processor_without_avx2_is_refused(
    machine: str, avx2: bool, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processor.platform, "machine", lambda: machine)
    monkeypatch.setattr(processor, "_has_avx2", lambda: avx2)
    monkeypatch.setattr(processor, "name", lambda: "Processor X")
    with pytest.raises(SeedlingsError, match=f"portable: expected an x86-64 .*{found}; set `porta"):
        processor.check()


def test_avx2_is_that_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    flags = Path("/proc/cpuinfo")
    if not flags.is_file():
        pytest.skip("this system has no /proc/cpuinfo")
    assert processor._has_avx2() == (" avx2 " in flags.read_text(encoding="utf-8"))
