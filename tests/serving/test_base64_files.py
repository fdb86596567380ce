import base64

import pytest

from seedlings.serving.base64_files import file_of

FILE = bytes(range(256))
TEXT = base64.b64encode(FILE).decode()


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        TEXT.rstrip("="),
        base64.encodebytes(FILE).decode(),
        f"data:image/png;base64,{TEXT}",
        f" data:image/png;name=a.png;base64,\n{TEXT}\t",
        f"data:;base64,{TEXT}",
    ],
)
def test_base64_and_data_uris_are_the_file(text: str) -> None:
    assert file_of(text) == FILE


def test_an_empty_text_is_an_empty_file() -> None:
    assert file_of("") == file_of("data:image/png;base64,") == b""


@pytest.mark.parametrize(
    "text",
    [
        "/etc/host-name",
        "ä",
        "A",
        f"{TEXT}data:;base64,{TEXT}",
        f"data:image/png,{TEXT}",
        "data:" * 1_000_000,  # hours, if a data URI is looked for at every place
        "data:" + ";base64" * 1_000_000,
    ],
)
def test_another_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="base64|ascii|padding"):
        file_of(text)
