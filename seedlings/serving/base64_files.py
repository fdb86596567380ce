"""Files as text, in requests to a server: base64, or data URIs with base64."""

import base64
import re

_DATA_URI = re.compile(r"\s*data:[^,]*;base64,")
_BLANKS = b" \t\n\v\f\r"


def file_of(text: str) -> bytes:
    """Return the file in base64, with or without padding, or in a data URI.

    Time and memory grow with the length of the text, whatever it is. Raises ValueError if it is
    something else.
    """
    head = _DATA_URI.match(text)
    data = text[head.end() if head else 0 :].encode("ascii").translate(None, _BLANKS)
    return base64.b64decode(data + b"=" * (-len(data) % 4), validate=True)
