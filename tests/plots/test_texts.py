import matplotlib
import numpy as np
import pytest

from seedlings.plots import texts


def ink(text: str) -> int:
    return int((texts.draw(text) > 127).sum())


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("$a^$", "$a^$"),
        ("Shepherd’s Purse", "Shepherd’s Purse"),
        ("e\u0301", "é"),
        ("小麦 wheat", "小麦 wheat"),
        ("한국어", "한국어"),
        ("العربية", "العربية"),
        ("हिन्दी", "[ha-i-na-virama-da-ii]"),
        ("oat 👍\ufe0f🌱", "oat [thumbs up sign-seedling]"),
        ("小麦 🌱", "小麦 [seedling]"),
        ("a\nb\tc\x00\u200d", "a b c "),
    ],
)
def test_a_letter_of_no_font_is_written_as_its_unicode_name(name: str, read: str) -> None:
    assert texts.readable(name) == read
    assert texts.readable(read) == read


@pytest.mark.parametrize("name", ["玉米", "カタカナ", "한국어", "שלום", "Ελληνικά", "Русский"])
def test_letters_of_many_languages_are_drawn_and_differ(name: str) -> None:
    drawn = [texts.draw(letter).tobytes() for letter in name]
    assert len(set(drawn)) == len(set(name))
    assert all(ink(letter) > 3 for letter in name)


def test_arabic_is_written_from_right_to_left() -> None:
    letters = texts.draw("ا ووو")  # the first one is the only tall one
    places = np.flatnonzero((letters[:7] > 127).any(axis=0))
    assert (places > letters.shape[1] / 2).all()
    assert len(places) > 0


@pytest.mark.parametrize("scale", [1, 4])
@pytest.mark.parametrize("text", ["", "a", "Ấgj|", "玉米"])
def test_a_text_has_the_rows_of_a_line(text: str, scale: int) -> None:
    assert texts.draw(text, scale).shape[0] == scale * texts.LINE


@pytest.mark.parametrize(
    "name", ["Small-flowered Cranesbill " * 3, "玉米" * 40, "x" * 99, "🌱" * 9]
)
def test_a_long_text_is_shortened_in_the_middle(name: str) -> None:
    short = texts.shorten(name, 120)
    assert texts.width(short) <= 120 < texts.width(name)
    first, last = short.split("…")
    assert first
    assert texts.readable(name).startswith(first)
    assert texts.readable(name).endswith(last)
    assert abs(len(first) - len(last)) <= 1


def test_shortened_names_stay_different() -> None:
    names = [f"{'x' * 40}{number}{'y' * 40}" for number in range(12)] + ["oat"]
    short = texts.shorten_all(names, 120)
    assert len(set(short)) == 13
    assert short[1].startswith("2 x")
    assert short[-1] == "oat"
    assert all(texts.width(name) <= 120 for name in short)


def test_charts_ignore_the_settings_of_a_user() -> None:
    with matplotlib.rc_context({"font.size": 33.0, "text.parse_math": True}):
        with texts.settings():
            assert matplotlib.rcParams["font.size"] == 10.0
            assert matplotlib.rcParams["text.parse_math"] is False
        assert matplotlib.rcParams["font.size"] == 33.0
