from seedlings.report import diagrams

NEEDS = {"a": set(), "b": {"a"}, "c": {"a", "b"}, "d": {"b"}, "e": {"a", "c", "d"}}


def test_a_box_is_below_what_it_needs_and_beside_its_peers() -> None:
    boxes = diagrams.draw(NEEDS).boxes
    heights = {name: y for name, (_, y) in boxes.items()}
    assert heights["a"] < heights["b"] < heights["c"] == heights["d"] < heights["e"]
    assert boxes["c"][0] < boxes["e"][0] < boxes["d"][0]
    assert boxes["e"][0] == diagrams.WIDTH // 2


def test_arrows_that_others_imply_are_left_out() -> None:
    drawn = diagrams.draw(NEEDS)
    names = {place: name for name, place in drawn.boxes.items()}
    half = diagrams.BOX[1] // 2
    found = {names[x1, y1 - half] + names[x2, y2 + half] for x1, y1, x2, y2 in drawn.arrows}
    assert found == {"ab", "bc", "bd", "ce", "de"}
    assert len(drawn.arrows) == 5


def test_everything_is_inside_the_picture() -> None:
    drawn = diagrams.draw(NEEDS)
    for x, y in drawn.boxes.values():
        assert diagrams.BOX[0] // 2 <= x <= diagrams.WIDTH - diagrams.BOX[0] // 2
        assert diagrams.BOX[1] // 2 <= y <= drawn.height - diagrams.BOX[1] // 2
