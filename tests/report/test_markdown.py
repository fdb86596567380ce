import pytest
from jinja2 import UndefinedError
from markdown_it import MarkdownIt

from seedlings.report import markdown

NAMES = [
    "a|b",
    "*x* _y_ ~~z~~",
    "<script>alert(1)</script>",
    "[link](https://example.org) ![](a.png)",
    "`code` ``",
    "# C #",
    r"\(x\) $$y$$ \|",
    "&amp; & &lt;",
    "a\n\n# b",
    "Shepherd’s Purse",
    "玉米",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_shown_as_it_is(name: str) -> None:
    cell = f"| n |\n| --- |\n| {markdown.escape(name)} |"
    for text in (markdown.escape(name), f"# {markdown.escape(name)}", cell):
        [*_, shown] = [
            token
            for token in MarkdownIt("gfm-like", {"linkify": False}).parse(text)
            if token.type == "inline"
        ]
        assert {child.type for child in shown.children} <= {"text", "text_special"}
        assert "".join(child.content for child in shown.children) == " ".join(name.split())


@pytest.mark.parametrize("name", NAMES)
def test_code_is_shown_as_it_is(name: str) -> None:
    [shown] = MarkdownIt().parseInline(markdown.code(name))
    [child] = shown.children
    assert (child.type, child.content) == ("code_inline", " ".join(name.split()))


def test_text_that_is_escaped_or_markdown_is_not_escaped_again() -> None:
    once = markdown.escape("a*b")
    assert once == r"a\*b"
    assert markdown.escape(once) == once
    assert markdown.escape(markdown.Markdown("**a**")) == "**a**"


def test_a_missing_value_is_an_error() -> None:
    with pytest.raises(UndefinedError, match="task"):
        markdown.render("model_card.md", {})
