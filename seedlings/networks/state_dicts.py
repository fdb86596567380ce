"""State dicts: the weights of PyTorch networks in its older file format, read without PyTorch.

Such a file, which torch.save wrote until PyTorch 1.6, has five pickles (a magic number, the version
of the format, facts about the system, the tensors by name, the keys of their storages). The numbers
of each storage follow, as a count and little-endian values (torch/serialization.py, _legacy_save).
"""

import math
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

_MAGIC, _VERSION = 0x1950A86A20F9469CFC6C, 1001
_TYPES: dict[str, np.dtype[Any]] = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}
_COUNT = np.dtype("<i8")


class _Storage(NamedTuple):
    """What a pickle says of numbers that tensors share."""

    type: Any
    key: Any
    count: Any


class _Tensor(NamedTuple):
    """What a pickle says of a tensor: a view of a storage, with strides in numbers, not in bytes.

    Nothing is checked yet, because a pickle can make objects in any order.
    """

    storage: Any
    offset: Any
    shape: Any
    strides: Any


class _Unpickler(pickle.Unpickler):
    """Reads a pickle of tensors. It calls nothing that the pickle names, and refuses the rest.

    What it returns in place of a class or function has no state that a pickle could set.
    """

    def find_class(self, module: str, name: str) -> Any:
        """Return what stands for one of the few names that such a file needs."""
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda *arguments: _Tensor(*arguments[:4])
        if module == "torch" and name in _TYPES:
            return name
        raise ValueError(f"expected only tensors, found {module}.{name}, which was not called")

    def persistent_load(self, pid: Any) -> _Storage:
        """Return the storage of `("storage", type, key, location, count, None)`."""
        kind, storage_type, key, _, count, _ = pid
        if kind != "storage":
            raise ValueError("expected a storage, found another persistent object")
        return _Storage(storage_type, key, count)


def read(path: Path) -> dict[str, NDArray]:
    """Return the tensors of a file by name: float32 or int64, in C order.

    The function executes nothing that the file names. Raises ValueError, with the reason in one
    line, for a file that is not such a file, or not whole; OSError if it cannot be read.
    """
    with path.open("rb") as file:
        try:
            tensors, keys = _pickled(file)
            storages = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
            if sorted(keys) != sorted(storages):
                raise ValueError("expected the numbers of each storage once")
            end = path.stat().st_size
            values = {key: _values(file, storages[key], end) for key in keys}
            if file.tell() != end:
                raise ValueError(f"expected the end at byte {file.tell():,}, found {end:,} bytes")
        except OSError:
            raise
        except Exception as error:  # a damaged pickle raises all kinds of errors
            reason = str(error).partition("\n")[0] or type(error).__name__
            raise ValueError(
                f"expected a PyTorch state dict of the older format: {reason}"
            ) from error
    return {name: _array(tensor, values[tensor.storage.key]) for name, tensor in tensors.items()}


def _pickled(file: BinaryIO) -> tuple[dict[str, _Tensor], list[str]]:
    """Return the tensors by name, all inside their storages, and the keys of the storages."""
    if _Unpickler(file).load() != _MAGIC:
        raise ValueError("expected the magic number of the format")
    if (version := _Unpickler(file).load()) != _VERSION:
        raise ValueError(f"expected version {_VERSION} of the format, found {version!r:.40}")
    if not _Unpickler(file).load()["little_endian"]:
        raise ValueError("expected little-endian numbers")
    tensors, keys = _Unpickler(file).load(), _Unpickler(file).load()
    for name, tensor in tensors.items():
        _check(name, tensor)
    storages = {tensor.storage for tensor in tensors.values()}
    if len({storage.key for storage in storages}) != len(storages):
        raise ValueError("expected one storage a key")
    return dict(tensors), keys


def _check(name: Any, tensor: Any) -> None:
    """Raise ValueError unless all numbers of a tensor are inside its storage."""
    if not (isinstance(name, str) and isinstance(tensor, _Tensor)):
        raise ValueError(f"expected tensors by name, found {type(tensor).__name__}")
    storage, offset, shape, strides = tensor
    if not (
        isinstance(storage, _Storage)
        and storage.type in _TYPES
        and isinstance(storage.key, str)
        and _are_counts(storage.count, offset, *strides)
        and _are_counts(*shape)
        and 0 not in shape
    ):
        raise ValueError(f"{name}: expected a storage with an offset, a shape and strides")
    steps = zip(shape, strides, strict=True)
    last = offset + sum((size - 1) * stride for size, stride in steps)
    if last >= storage.count or math.prod(shape) > storage.count:
        raise ValueError(
            f"{name}: expected a tensor inside the {storage.count} numbers of its storage, found "
            f"shape {shape}, strides {strides}, offset {offset}"
        )


def _are_counts(*values: Any) -> bool:
    return all(type(value) is int and value >= 0 for value in values)


def _values(file: BinaryIO, storage: _Storage, end: int) -> NDArray:
    """Return the numbers of a storage, from its place in a file of `end` bytes."""
    kind = _TYPES[storage.type]
    count = int(np.frombuffer(file.read(_COUNT.itemsize), _COUNT)[0])
    if count != storage.count:
        raise ValueError(f"expected {storage.count} numbers in a storage, found {count}")
    if file.tell() + count * kind.itemsize > end:
        raise ValueError(f"expected {count} more numbers at byte {file.tell():,}, found the end")
    return np.frombuffer(file.read(count * kind.itemsize), kind)


def _array(tensor: _Tensor, values: NDArray) -> NDArray:
    """Return a copy of a tensor that was checked, from the numbers of its storage."""
    strides = [stride * values.itemsize for stride in tensor.strides]
    view = np.lib.stride_tricks.as_strided(values[tensor.offset :], tensor.shape, strides)
    return view.copy()
