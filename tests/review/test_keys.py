import string

from seedlings.review import keys


def test_names_have_the_digits_and_then_letters_that_mean_nothing_else() -> None:
    names = [f"class {number:02d}" for number in range(40)]
    found = keys.of(names)
    assert [found[name] for name in names[:13]] == [*"123456789", *"abde"]
    given = [key for key in found.values() if key]
    assert sorted(given) == sorted([*"123456789", *(set(string.ascii_lowercase) - {*"crux"})])
    assert len(set(given)) == len(given)
    assert list(found.values())[len(given) :] == [None] * (40 - len(given))


def test_no_key_of_a_decision_is_that_of_a_name() -> None:
    others = {
        *(keys.KEEP, keys.DROP, keys.UNDO, keys.SAVE),
        *(keys.REMOVE, keys.PREVIOUS, keys.NEXT),
    }
    assert len(others) == 7
    assert not others & {*keys.of([str(number) for number in range(40)]).values()}
