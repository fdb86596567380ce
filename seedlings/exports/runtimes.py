"""Runtimes: the libraries that run an exported network, one entry a format."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seedlings.serving.inference import Network


@dataclass(frozen=True, slots=True)
class Runtime:
    """A runtime: its name, the file or folder of its model, and the packages that it is in.

    It is in one of several packages, such as TensorFlow's with and without code for GPUs.
    `load(path)` returns the network in that file. It may be called by one thread at a time.
    """

    title: str
    file: str
    packages: tuple[str, ...]
    load: Callable[[Path], "Network"]


def _litert(path: Path) -> "Network":
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter

    with _without_remarks():
        interpreter = Interpreter(str(path), num_threads=os.cpu_count())
        run = interpreter.get_signature_runner()
        [(name, image)] = run.get_input_details().items()
        run(**{name: np.zeros(image["shape"], image["dtype"])})

    def network(batch: Any) -> Any:
        found = run(**{name: batch})
        return [found[key] for key in sorted(found)]

    return network


def _onnx(path: Path) -> "Network":
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda batch: session.run(None, {name: batch})


def _openvino(path: Path) -> "Network":
    import openvino

    # With bfloat16, the default of some processors, answers differ and were 4 times slower.
    settings = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(str(path), "CPU", settings)

    def network(batch: Any) -> Any:
        found = compiled(batch)
        return [found[number].copy() for number in range(2)]

    return network


def _saved_model(path: Path) -> "Network":
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))
    return lambda batch: [output.numpy() for output in loaded.serve(batch)]


@contextmanager
def _without_remarks() -> Iterator[None]:
    """Hide what a library writes to the file descriptor of errors, while it loads a model."""
    sys.stderr.flush()
    kept, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(null)


RUNTIMES = {
    "litert": Runtime("LiteRT", "model.tflite", ("ai-edge-litert",), _litert),
    "onnx": Runtime("ONNX Runtime", "model.onnx", ("onnxruntime",), _onnx),
    "openvino": Runtime("OpenVINO", "model.xml", ("openvino",), _openvino),
    "saved_model": Runtime(
        "TensorFlow", "saved_model", ("tensorflow", "tensorflow-cpu"), _saved_model
    ),
}
