"""Parameters of the sections `data` and `split`."""

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from seedlings.config.params import Checksum, Count, PositiveShare, Section, Seed, one_of


def _on_this_machine(path: str) -> str:
    if not path or "://" in path:
        raise ValueError("a file or folder on this machine, also if data.url has an address")
    return path


def _is_known(encoding: str) -> str:
    try:
        b"a".decode(encoding)
    except UnicodeError:  # a letter has more bytes
        pass
    except (LookupError, ValueError) as error:
        raise ValueError("an encoding of Python, such as cp1252, cp932 or gbk") from error
    return encoding


Encoding = Annotated[str, AfterValidator(_is_known)]


def _is_pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"`folder` or a regular expression of Python ({error})") from error
    if not text:
        raise ValueError("`folder` or a regular expression of Python, or null")
    return text


class Sample(Section):
    images_per_class: Count
    side: Annotated[int, Field(ge=32, le=1024)]


class Limits(Section):
    files: Count
    bytes: Count


class Annotations(Section):
    file: str | None
    encoding: Encoding | None
    delimiter: Literal["comma", "semicolon", "tab", "pipe", "space"] | None
    path: int | str
    label: int | str
    header: bool
    images: str
    match: Literal["path", "name"]
    ending: str
    separator: str
    group: int | str | None
    block: Annotated[int, Field(ge=2)] | None

    def table(self, raw: Path) -> Path:
        """Return the path of the CSV file below the folder `raw`."""
        return raw / (self.file or "")

    @model_validator(mode="after")
    def _keys_fit_each_other(self) -> Self:
        if self.file and (self.file.startswith("/") or ".." in Path(self.file).parts):
            raise ValueError(f"file inside the data, which DVC tracks, found {self.file!r}")
        named = [
            column for column in (self.path, self.label, self.group) if isinstance(column, str)
        ]
        if named and not self.header:
            raise ValueError(f"a column by its number without a header, found {named[0]!r}")
        if self.group is not None and self.file is None:
            raise ValueError(f"file with the column of group {self.group!r}, found none")
        if self.block is not None and self.file is None:
            raise ValueError(f"file to order the rows of block {self.block}, found none")
        return self


class Data(Section):
    source: Annotated[str, one_of("seedlings.data.sources:SOURCES")]
    path: Annotated[str, AfterValidator(_on_this_machine)]
    url: Annotated[str, Field(pattern=r"^https?://.+/.+")] | None
    checksum: Checksum | None
    folder: str | None
    encoding: Encoding | None
    annotations: Annotations
    group: Annotated[str, AfterValidator(_is_pattern)] | None
    on_bad_image: Literal["refuse", "skip"]
    sample: Sample
    limits: Limits

    @model_validator(mode="after")
    def _groups_have_one_source(self) -> Self:
        if self.group is not None and self.annotations.group is not None:
            raise ValueError(f"group null, as annotations.group is set, found {self.group!r}")
        return self

    @model_validator(mode="after")
    def _source_reads_what_is_set(self) -> Self:
        from seedlings.data.sources import (
            SOURCES,
        )  # imports OpenCV, which the command line does without

        for key in ("url", "checksum", "folder", "encoding"):
            value = getattr(self, key)
            if value is not None and key not in SOURCES[self.source].reads:
                readers = " or ".join(name for name in SOURCES if key in SOURCES[name].reads)
                raise ValueError(
                    f"{key} null, as the source {self.source} does not read it, found {value!r}; "
                    f"set data.source to {readers}, or {key} to null"
                )
        return self


class Split(Section):
    seed: Seed | None
    rule: Literal["per_class", "share", "folders"]
    validation_per_class: Count
    validation_share: PositiveShare
    test_share: PositiveShare
    duplicate_distance: Annotated[int, Field(ge=0, le=16)] | None
    crossing_duplicates: Literal["refuse", "accept"]

    @model_validator(mode="after")
    def _training_images_remain(self) -> Self:
        drawn = self.test_share + self.validation_share
        if self.rule == "share" and drawn >= 1.0:
            raise ValueError(
                "test_share and validation_share that leave training images, a sum below 1, "
                f"found {drawn:g}"
            )
        return self
