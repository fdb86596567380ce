"""Markdown: texts from templates, in which names are shown as they are."""

import re
from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from seedlings.report import html

# With a meaning in Markdown, in its tables, in HTML, or in formulas, of which a backslash and a
# bracket are the beginning on some sites.
_SPECIAL = re.compile(r"[\\$`*_{}\[\]<>#|~&!^]")
_ENTITIES = {"\\": "&#92;", "$": "&#36;"}


class Markdown(str):
    """A text that is Markdown already."""

    __slots__ = ()


def render(template: str, values: Mapping[str, Any]) -> str:
    """Return a template of this room, filled with `values`.

    It has no two blank lines after one another. A text in the values is escaped, unless it is
    Markdown; the filter `code` shows a value as code, and `markdown` takes a text as Markdown.
    Raises jinja2.UndefinedError if the template uses a name that `values` does not have.
    """
    templates = Environment(  # noqa: S701 - that is for HTML; `finalize` escapes
        loader=FileSystemLoader(html.TEMPLATES),
        finalize=lambda value: escape(value) if isinstance(value, str) else value,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    templates.filters |= {"code": code, "markdown": Markdown}
    text = templates.get_template(template).render(values)
    return re.sub("\n{3,}", "\n\n", text).lstrip("\n")


def escape(text: str) -> Markdown:
    """Return Markdown, in one line, that shows a text."""
    if isinstance(text, Markdown):
        return text
    return Markdown(
        _SPECIAL.sub(lambda found: _ENTITIES.get(found[0], f"\\{found[0]}"), _one_line(text))
    )


def code(value: object) -> Markdown:
    """Return Markdown, in one line, that shows a value as code."""
    shown = _one_line(str(value))
    fence = "`" * (1 + max(map(len, re.findall("`+", shown)), default=0))
    space = " " if len(fence) > 1 else ""
    return Markdown(f"{fence}{space}{shown}{space}{fence}")


def _one_line(text: str) -> str:
    return " ".join(text.split())
