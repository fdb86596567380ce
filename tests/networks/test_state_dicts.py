import io
import os
import pickle
import sys
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from seedlings.networks import state_dicts

MAGIC = 0x1950A86A20F9469CFC6C
FACTS = {"protocol_version": 1001, "little_endian": True}
Write = Callable[..., Path]


class Stored:
    """A storage in a file; `said` is the count that the pickle names."""

    def __init__(self, key: str, values: np.ndarray, said: int | None = None) -> None:
        self.key, self.values = key, values
        self.said = len(values) if said is None else said
        self.type = "FloatStorage" if values.dtype == np.float32 else "LongStorage"


class View:
    """A tensor in a file: a view of a storage."""

    def __init__(self, storage: Any, offset: int, shape: Any, strides: Any) -> None:
        self.storage, self.arguments = storage, (offset, shape, strides, False, OrderedDict())


@pytest.fixture
def torch(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Modules with the names that files of PyTorch have, for the pickler alone."""
    torch, utils = ModuleType("torch"), ModuleType("torch._utils")

    def _rebuild_tensor_v2(*arguments: object) -> None:
        raise AssertionError("called")

    _rebuild_tensor_v2.__module__ = "torch._utils"
    _rebuild_tensor_v2.__qualname__ = "_rebuild_tensor_v2"
    utils._rebuild_tensor_v2 = torch.rebuild = _rebuild_tensor_v2
    for name in ("FloatStorage", "LongStorage", "HalfStorage"):
        setattr(torch, name, type(name, (), {"__module__": "torch"}))
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)
    return torch


@pytest.fixture
def write(torch: ModuleType, tmp_path: Path) -> Write:
    """Write a file as PyTorch does: tensors by name, and what differs in a wrong one."""

    class Pickler(pickle.Pickler):
        def persistent_id(self, value: object) -> object:
            if not isinstance(value, Stored):
                return None
            return "storage", getattr(torch, value.type), value.key, "cpu", value.said, None

        def reducer_override(self, value: object) -> Any:
            if not isinstance(value, View):
                return NotImplemented
            return torch.rebuild, (value.storage, *value.arguments)

    def make(tensors: Any, *, version: int = 1001, end: bytes = b"") -> Path:
        buffer = io.BytesIO()
        views = [value for value in tensors.values() if isinstance(value, View)]
        storages = {view.storage.key: view.storage for view in views}
        for value in (MAGIC, version, FACTS, tensors, sorted(storages)):
            Pickler(buffer, 2).dump(value)
        for _, storage in sorted(storages.items()):
            buffer.write(np.int64(len(storage.values)).tobytes() + storage.values.tobytes())
        path = tmp_path / "weights.pth"
        path.write_bytes(buffer.getvalue() + end)
        return path

    return make


def numbers(count: int) -> np.ndarray:
    return np.arange(count, dtype=np.float32)


def whole() -> "OrderedDict[str, View]":
    """Two tensors of one storage, one of them transposed, and a number."""
    shared = Stored("7", numbers(12))
    return OrderedDict(
        rows=View(shared, 6, (2, 3), (3, 1)),
        columns=View(shared, 0, (3, 2), (1, 3)),
        steps=View(Stored("9", np.array([5])), 0, (), ()),
    )


def test_tensors_are_read_by_their_strides_and_offsets(write: Write) -> None:
    found = state_dicts.read(write(whole()))
    assert list(found) == ["rows", "columns", "steps"]
    assert found["rows"].tolist() == [[6.0, 7.0, 8.0], [9.0, 10.0, 11.0]]
    assert found["columns"].tolist() == [[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]]
    assert (found["steps"].tolist(), found["steps"].dtype) == (5, np.int64)
    assert all(array.flags.c_contiguous for array in found.values())


@pytest.mark.parametrize(
    ("offset", "shape", "strides"),
    [
        (7, (2, 3), (3, 1)),  # one number too far
        (0, (2, 3), (10, 1)),
        (12, (), ()),
        (-1, (2,), (1,)),
        (5, (2,), (-1,)),
        (0, (-2,), (1,)),
        (0, (0, 3), (3, 1)),
        (0, (1 << 40, 1 << 40), (0, 0)),  # of one number, repeated
        (0, (2, 3), (1,)),
        (0, (2.0,), (1,)),
        (0, "12", "12"),
        (1 << 70, (1,), (1,)),
    ],
)
def test_a_tensor_outside_its_storage_is_refused(
    offset: int, shape: Any, strides: Any, write: Write
) -> None:
    path = write(OrderedDict(a=View(Stored("1", numbers(12)), offset, shape, strides)))
    with pytest.raises(ValueError, match="state dict of the older format: "):
        state_dicts.read(path)


class Command:
    """What runs a command when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.command = f"touch '{file}'"

    def __reduce__(self) -> Any:
        return os.system, (self.command,)


@pytest.mark.parametrize("where", ["tensor", "argument", "instead"])
def test_a_file_that_names_a_command_is_refused_and_nothing_is_executed(
    where: str, write: Write, tmp_path: Path
) -> None:
    command = Command(tmp_path / "executed")
    tensors: Any = whole()
    if where == "instead":
        path = tmp_path / "weights.pth"
        path.write_bytes(pickle.dumps(command, 2))
    elif where == "argument":
        path = write(tensors | {"a": View(Stored("8", numbers(2)), 0, (2,), command)})
    else:
        path = write(tensors | {"a": command})
    with pytest.raises(ValueError, match=r"found \w+\.system, which was not called"):
        state_dicts.read(path)
    assert not (tmp_path / "executed").exists()
    pickle.loads(pickle.dumps(command, 2))  # the same bytes, with nothing against them
    assert (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    "name", ["builtins.eval", "torch.HalfStorage", "torch._utils.getattr", "collections.Counter"]
)
def test_a_pickle_can_name_nothing_but_tensors(name: str, tmp_path: Path) -> None:
    module, _, attribute = name.rpartition(".")
    path = tmp_path / "weights.pth"
    path.write_bytes(f"c{module}\n{attribute}\n.".encode())
    with pytest.raises(ValueError, match=f"found {name}, which was not called"):
        state_dicts.read(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 1002}, "expected version 1001 of the format, found 1002"),
        ({"end": b"more"}, r"expected the end at byte [\d,]+, found"),
        ({"tensors": {"a": 5}}, "expected tensors by name, found int"),
        ({"tensors": {1: View(Stored("1", numbers(2)), 0, (2,), (1,))}}, "tensors by name"),
        (
            {"tensors": {"a": View(Stored("1", numbers(2), said=3), 0, (2,), (1,))}},
            "expected 3 numbers in a storage, found 2",
        ),
        (
            {
                "tensors": {
                    "a": View(Stored("1", numbers(2)), 0, (2,), (1,)),
                    "b": View(Stored("1", numbers(3)), 0, (2,), (1,)),
                }
            },
            "expected one storage a key",
        ),
    ],
)
def test_another_content_is_refused_with_what_was_expected(
    changes: dict[str, Any], message: str, write: Write
) -> None:
    path = write(changes.pop("tensors", whole()), **changes)
    with pytest.raises(ValueError, match=message):
        state_dicts.read(path)


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04 a zip", b"\x89HDF\r\n\x1a\n", b"."])
def test_another_file_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"^expected a PyTorch state dict .*: [^\n]+\Z"):
        state_dicts.read(path)


def test_a_truncated_file_is_refused_wherever_it_ends(write: Write) -> None:
    path = write(whole())
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match="expected a PyTorch state dict"):
            state_dicts.read(path)


def test_a_damaged_byte_gives_a_clear_error_or_tensors(
    write: Write, rng: np.random.Generator
) -> None:
    path = write(whole())
    content = bytearray(path.read_bytes())
    refused = []
    for place in range(len(content)):
        damaged = content.copy()
        damaged[place] ^= int(rng.integers(1, 256))
        path.write_bytes(damaged)
        try:
            found = state_dicts.read(path)
        except ValueError as error:
            refused.append(str(error))
        else:
            assert {array.dtype.name for array in found.values()} <= {"float32", "int64"}
    assert 0 < len(refused) < len(content)
    assert all(reason.startswith("expected a PyTorch state dict") for reason in refused)
