"""The listing: the files of a large prediction as shards, kept on disk and not in memory."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, overload

from seedlings.io.shards import Shard

SIZE = 2048  # files in a shard: 140 MB of decoded images of 150 x 150 pixels


class Listing(Sequence[Shard]):
    """The shards of a list of files, in order; `path` is a file that contains the list.

    `digest` identifies the list and the versions of the files, and `files` is its length.
    """

    def __init__(
        self, stamped: Iterable[tuple[str, str]], path: Path, shown: Callable[[str], str]
    ) -> None:
        """Write the list of addresses with stamps, which name the version of each file.

        `shown` is the text of an address in tables and messages.
        """
        self.files = 0
        self._path, self._shown = path, shown
        self._shards: list[tuple[str, int, int, int]] = []  # name, start, bytes, files
        whole = hashlib.blake2b(digest_size=16)
        remaining = iter(stamped)
        with path.open("wb") as file:
            while part := list(islice(remaining, SIZE)):
                text = "\0".join(address for address, _ in part)
                data = text.encode("utf-8", "surrogateescape")
                digest = hashlib.blake2b(data, digest_size=8).hexdigest()
                name = f"part-{len(self._shards):06d}-{digest}"
                self._shards.append((name, file.tell(), len(data), len(part)))
                self.files += len(part)
                file.write(data)
                versions = "\0".join(stamp for _, stamp in part)
                whole.update(f"{name}\0{versions}\0\0".encode())
        self.digest = whole.hexdigest()

    def sizes(self) -> Iterator[tuple[str, int]]:
        """Yield the name and the number of files of each shard."""
        return ((name, files) for name, _, _, files in self._shards)

    def __len__(self) -> int:
        return len(self._shards)

    @overload
    def __getitem__(self, number: int) -> Shard: ...
    @overload
    def __getitem__(self, number: slice) -> list[Shard]: ...
    def __getitem__(self, number: int | slice) -> Shard | list[Shard]:
        if isinstance(number, slice):
            return [self[n] for n in range(*number.indices(len(self)))]
        name, start, size, files = self._shards[number]
        rows = Rows(self._path, start, size, files)
        return Shard(name, rows, Rows(self._path, start, size, files, self._shown))


class Rows(Sequence[str]):
    """Addresses of a shard, read from the list when they are used; a tuple when pickled."""

    __slots__ = ("_files", "_path", "_shown", "_size", "_start")

    def __init__(
        self,
        path: Path,
        start: int,
        size: int,
        files: int,
        shown: Callable[[str], str] = str,
    ) -> None:
        self._path, self._start, self._size, self._files = path, start, size, files
        self._shown = shown

    def __len__(self) -> int:
        return self._files

    def __iter__(self) -> Iterator[str]:
        with self._path.open("rb") as file:
            file.seek(self._start)
            data = file.read(self._size)
        return map(self._shown, data.decode("utf-8", "surrogateescape").split("\0"))

    def __getitem__(self, number: Any) -> Any:
        return tuple(self)[number]

    def __reduce__(self) -> tuple[Any, ...]:
        return tuple, (tuple(self),)
