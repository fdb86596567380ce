"""A real browser for tests of pages: Debian's chromium, driven by playwright."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PATIENCE = 60_000  # milliseconds; a busy machine draws slowly
QUIET = ("component-update", "background-networking", "sync", "quic", "gpu")


@contextmanager
def chromium() -> Iterator["Browser"]:
    """A browser that asks the network for nothing but what its pages need."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="there is no playwright here")
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("there is no browser here (Debian's chromium)")
    options = ["--no-sandbox", "--no-first-run", *(f"--disable-{name}" for name in QUIET)]
    sync_api.expect.set_options(timeout=PATIENCE)
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=options)
        yield browser
        browser.close()


@contextmanager
def page_of(browser: "Browser", **stored: str) -> Iterator["Page"]:
    """An empty page in light colours, with a storage of its own that holds `stored`."""
    context = browser.new_context(
        viewport={"width": 1600, "height": 1000}, color_scheme="light", reduced_motion="reduce"
    )
    context.set_default_timeout(PATIENCE)
    for key, value in stored.items():
        context.add_init_script(f"localStorage.setItem({key!r}, {value!r})")
    yield context.new_page()
    context.close()


def requests_of(page: "Page") -> list[str]:
    """The addresses that a page asks for from now on, with its frames; the list grows."""
    asked: list[str] = []
    page.context.on("request", lambda request: asked.append(request.url))
    return asked
