"""The page, run by Streamlit's own simulation of a browser."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from imports import ROOT

from seedlings.config import paths

testing = pytest.importorskip("streamlit.testing.v1", reason="there is no Streamlit here")

pytestmark = pytest.mark.slow

SCRIPT = ROOT / "seedlings" / "review" / "review_page.py"
HEADER = "digest,path,old,new,by,when,note\n"
Written = Callable[..., Any]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Any]:
    """Open the page on the results in the current folder, as a new process would."""
    import streamlit as st

    for name, value in (("NAME", "Ann"), ("EMAIL", "ann@example.org")):
        monkeypatch.setenv(f"GIT_AUTHOR_{name}", value)
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "user.name")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "Ann")

    def make() -> Any:
        st.cache_resource.clear()
        st.cache_data.clear()
        return testing.AppTest.from_file(str(SCRIPT), default_timeout=600).run()

    return make


def press(page: Any, text: str) -> Any:
    """Press the button whose label begins with a text."""
    [button] = [button for button in page.button if button.label.startswith(text)]
    button.click()
    page.run()
    assert not page.exception
    return page


def saved() -> list[str]:
    """Path, old and new label, and person of each decision."""
    text = paths.CORRECTIONS.read_text(encoding="utf-8")
    return sorted(",".join(line.split(",")[1:5]) for line in text.splitlines()[1:])


def texts(page: Any) -> str:
    found = [*page.subheader, *page.caption, *page.markdown, *page.info, *page.success]
    return "\n".join(str(entry.value).replace("\\", "") for entry in found)


def test_an_image_is_shown_with_its_doubt_its_prediction_and_the_next_steps(
    opened: Callable[[], Any], written: Written
) -> None:
    written()
    page = opened()
    assert not page.exception
    assert page.subheader[0].value == "dog"  # the label of the first doubtful image
    shown = texts(page)
    assert re.search(r"1 of \d+: 04\.png, train", shown)
    assert "owl has 90% and the label dog 10%" in shown
    assert "The model was trained with this image" in shown
    bars = [bar.proto.text.split("\\:")[0] for bar in page.get("progress")]
    [decided] = {*bars} - {"cat", "dog", "owl"}
    assert re.fullmatch(r"0 of \d+ images decided", decided)
    assert len(bars) == 4
    captions = [image.caption for part in page.get("image") for image in part.proto.imgs]
    assert captions == ["", "Grad-CAM of the prediction"]
    assert "dvc repro" in page.code[0].value
    assert "seedlings compare HEAD" in page.code[0].value
    assert "torn.png" in str(page.dataframe[0].value)


def test_decisions_are_saved_one_by_one_shown_undone_and_made_anew(
    opened: Callable[[], Any], written: Written
) -> None:
    written()
    page = opened()
    press(page, "owl")
    assert saved() == ["04.png,dog,owl,Ann"]
    press(page, "Keep: dog")
    press(page, "Drop")
    assert saved() == ["00.png,cat,drop,Ann", "04.png,dog,owl,Ann", "07.png,dog,dog,Ann"]
    press(press(page, "Undo"), "Undo")
    assert saved() == ["04.png,dog,owl,Ann"]
    assert "07.png, validation" in texts(page)
    press(page, "Previous")
    assert "dog → owl, Ann" in texts(page)
    press(page, "cat")
    assert saved() == ["04.png,dog,cat,Ann"]
    press(press(page, "Previous"), "Clear")
    assert saved() == []


def test_a_closed_page_opens_at_the_first_image_without_a_decision(
    opened: Callable[[], Any], written: Written
) -> None:
    written()
    press(opened(), "owl")
    assert "07.png, validation" in texts(opened())


def test_when_all_are_decided_the_page_says_so(opened: Callable[[], Any], written: Written) -> None:
    written(doubtful=[], same_label=True)
    page = opened()
    assert "found no doubtful label" in texts(page)
    count = int(re.search(r"1 of (\d+): ", texts(page))[1])  # type: ignore[index]
    for _ in range(count):
        assert "have a decision" not in texts(page)
        press(page, "Keep")
    assert "All of these images have a decision." in texts(page)
    assert len(saved()) == count


def test_filters_leave_some_images_and_the_grid_opens_one(
    opened: Callable[[], Any], written: Written
) -> None:
    written()
    page = opened()
    kinds, splits = page.button_group[1], page.button_group[2]
    kinds.set_value(["mistake"]).run()
    splits = page.button_group[2]
    splits.set_value(["test"]).run()
    assert "of 3: " in texts(page)
    page.button_group[0].set_value("Grid").run()
    assert not page.exception
    assert "1 to 3 of 3" in texts(page)
    press_last = [button for button in page.button if button.label == "Open"]
    assert len(press_last) == 3
    press_last[2].click()
    page.run()
    assert "3 of 3: " in texts(page)


def test_tags_are_switched_and_saved(opened: Callable[[], Any], written: Written) -> None:
    written("multilabel")
    page = opened()
    assert "00.png" in texts(page)
    assert "no doubtful labels: the task has no classes" in texts(page)
    press(press(page, "sky"), "sea")
    assert not paths.CORRECTIONS.exists()
    press(page, "Save: sky")
    assert saved() == ["00.png,sea,sky,Ann"]


def test_a_number_is_typed_and_what_is_no_number_is_refused(
    opened: Callable[[], Any], written: Written
) -> None:
    written("regression")
    page = opened()
    page.text_input[0].set_value("many")
    press(page, "Save")
    assert "expected a number" in page.error[0].value.replace("\\", "")
    assert not paths.CORRECTIONS.exists()
    page.text_input[0].set_value("0.75")
    press(page, "Save")
    assert saved() == ["00.png,0.5,0.75,Ann"]
    assert not page.error


def test_a_damaged_or_conflicting_file_is_shown_and_nothing_is_changed(
    opened: Callable[[], Any], written: Written
) -> None:
    made = written()
    lines = [f"{made.digest(4)},04.png,dog,{new},Ann,,\n" for new in ("cat", "owl")]
    text = HEADER + "".join(lines)
    paths.CORRECTIONS.write_text(text, encoding="utf-8")
    page = opened()
    assert not page.exception
    message = page.error[0].value.replace("\\", "")
    assert "line 2 by Ann: 04.png, dog → cat" in message
    assert "line 3 by Ann: 04.png, dog → owl" in message
    assert not page.button
    paths.CORRECTIONS.write_text(HEADER, encoding="utf-8")
    page.run()
    assert not page.error
    paths.CORRECTIONS.write_text(text, encoding="utf-8")  # while the page is open
    press(page, "owl")
    assert "expected one decision about an image" in page.error[0].value.replace("\\", "")
    assert paths.CORRECTIONS.read_text(encoding="utf-8") == text


def test_without_results_the_page_says_what_to_run(
    opened: Callable[[], Any], written: Written
) -> None:
    written()
    page = opened()
    paths.OUTPUTS.unlink()  # as a stage does when it starts
    page.run()
    assert not page.exception
    assert "run `dvc repro`" in page.error[0].value.replace("\\", "")
