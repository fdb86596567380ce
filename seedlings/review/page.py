"""The page of `seedlings review`: images about whose labels there is a doubt, one by one."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import streamlit as st

from seedlings import images
from seedlings.config import paths
from seedlings.data.corrections import DROP
from seedlings.errors import SeedlingsError
from seedlings.io.split_table import SPLITS
from seedlings.plots import image_grid
from seedlings.review import inputs, keys, queue
from seedlings.review.decisions import DecisionFile, Lines
from seedlings.review.queue import Item
from seedlings.serving.demo import plain
from seedlings.tasks import TASKS
from seedlings.tracking import git

if TYPE_CHECKING:  # TensorFlow takes seconds to import, in which the page would be empty
    from streamlit.delta_generator import DeltaGenerator

    from seedlings.explain.saliency import Explainer
    from seedlings.review.results import Results
    from seedlings.serving.predictor import Predictor

_LARGE, _SMALL = 640, 192  # pixels of a picture
_TILES, _COLUMNS = 24, 6  # of the grid
_LIKELIEST = 5
_ONE, _GRID = "One by one", "Grid"
_STEPS = """\
dvc repro                # runs what depends on the labels
seedlings compare HEAD   # accuracy before and after, on the same images, with its test
git commit -m "Correct labels" data/corrections.csv dvc.lock"""

Version = tuple[int, ...]


def show() -> None:
    """Draw the page for the results in the current folder.

    Streamlit calls this function after each interaction with the page.
    """
    st.set_page_config(page_title="Review of labels", layout="wide")
    # What is not always there is in one block: below it, each button replaces that of the image
    # before, which would else stay on the page until all is drawn.
    with st.container():
        try:
            version = inputs.version()
            file = _file(inputs.task().name)
            lines = file.read()
            results = _results(version, file)
        except SeedlingsError as error:
            _tell(error)
            return
        if problem := st.session_state.pop("problem", ""):
            _tell(problem)
    selected = _selected(results, lines)
    if not selected:
        _nothing(results)
    elif _view() == _GRID:
        _grid(version, selected, lines)
    else:
        _one(version, results, file, lines, selected)
    _skipped(results.skipped)
    _next_steps(results, lines)


@st.cache_resource(show_spinner=False)
def _file(task: str) -> DecisionFile:
    """Return the file of the decisions; one for all tabs, so that each can undo the last one."""
    lock = paths.home() / ".dvc" / "tmp" / "review.lock"
    return DecisionFile(
        paths.CORRECTIONS, TASKS[task], by=git.ask("config", "user.name"), lock=lock
    )


@st.cache_resource(max_entries=1, show_spinner="Loading the results ...")
def _results(version: Version, _file: DecisionFile) -> "Results":  # noqa: ARG001 - part of the key
    from seedlings.review import results

    return results.read(set(_file.read()))


@st.cache_resource(max_entries=1, show_spinner="Loading the model ...")
def _model(version: Version) -> "tuple[Predictor, Explainer]":  # noqa: ARG001 - the key
    from seedlings.serving import explained

    return explained.load(paths.PACKAGED)


def _selected(results: "Results", lines: Lines) -> list[Item]:
    """Return the items that the filters in the sidebar leave."""
    items = results.items
    counts = {kind: sum(kind in item.kinds for item in items) for kind in queue.KINDS}
    with st.sidebar:
        st.title("Review of labels", anchor=False)
        decided = sum(item.digest in lines for item in items)
        st.progress(decided / max(1, len(items)), f"{decided} of {len(items)} images decided")
        st.segmented_control("View", [_ONE, _GRID], **_filter("view", _ONE))
        kinds = st.pills(
            "Kind of doubt",
            queue.KINDS,
            selection_mode="multi",
            format_func=lambda kind: f"{kind} ({counts[kind]})",
            **_filter("kinds", []),
        )
        splits = st.pills("Split", SPLITS, selection_mode="multi", **_filter("splits", []))
        labels = []
        if results.names:
            labels = st.multiselect("Label", results.names, **_filter("labels", []))
        is_open = st.toggle("Without a decision only", **_filter("open", default=False))
    found = queue.select(items, results.task, kinds=kinds, labels=labels, splits=splits)
    return [item for item in found if not is_open or item.digest not in lines]


def _filter(name: str, default: Any) -> dict[str, Any]:
    """Return the arguments of a filter: its value is kept while its widget is made anew.

    A widget that was clicked takes the keys that are for the image (Space switches it again) until
    another is clicked. So each change gives the widget another key, and the keys to the page.
    """
    values = st.session_state.setdefault("filters", {})
    count, value = values.setdefault(name, (0, default))
    key = f"{name} {count}"
    st.session_state.setdefault(key, value)
    return {"key": key, "on_change": _keep_filter, "args": (name, key)}


def _keep_filter(name: str, key: str) -> None:
    count, _ = st.session_state.filters[name]
    st.session_state.filters[name] = (count + 1, st.session_state[key])


def _view() -> str:
    return st.session_state.filters["view"][1] or _ONE


def _nothing(results: "Results") -> None:
    if results.items:
        st.info("No image fits the filters.")
        return
    st.info("There is no image to review: no mistake, and no near duplicate with another label.")


def _one(
    version: Version,
    results: "Results",
    file: DecisionFile,
    lines: Lines,
    selected: Sequence[Item],
) -> None:
    digests = [item.digest for item in selected]
    if st.session_state.get("at") not in digests:
        st.session_state.at = queue.following(digests, "", lines) or digests[0]
    place = digests.index(st.session_state.at)
    item = selected[place]
    picture, panel, model = st.columns([4, 4, 3], gap="medium")
    with panel:  # before the picture, so that no button of another image is beside it
        _moves(place, digests, item)
        _decisions(results, file, lines, item, digests)
    with picture:
        _heading(item, place, len(selected), lines)
        _picture(version, item.path, _LARGE)
    prediction, others = model.empty(), st.empty()  # those of the image before are gone at once
    with prediction.container():
        _prediction(version, results, item)
    with others.container():
        _others("Near duplicates", version, results, _duplicates(item))
        _others("Nearest training images", version, results, results.nearest(item))
    if queue.following(digests, item.digest, lines) is None:
        st.success("All of these images have a decision.")
    _prepare(version, results, selected[(place + 1) % len(selected)])


def _heading(item: Item, place: int, count: int, lines: Lines) -> None:
    st.subheader(plain(item.label), anchor=False)
    st.caption(plain(f"{place + 1} of {count}: {item.path}, {item.split}"))
    for doubt in item.doubts:
        st.markdown(f"**{plain(doubt.kind.capitalize())}**: {plain(doubt.text)}")
    if len({label for _, label in item.labels}) > 1:
        listed = ", ".join(f"{path}: {label}" for path, label in item.labels)
        st.markdown(plain(f"Files with this content: {listed}"))
    for decision in lines.get(item.digest, []):
        by = f", {decision.by}" if decision.by else ""
        st.info(plain(f"{decision.old} → {decision.new}{by}, {decision.when}"), icon="✅")


def _moves(place: int, digests: Sequence[str], item: Item) -> None:
    before, after = st.columns(2)
    for column, text, key, step in (
        (before, "Previous", keys.PREVIOUS, -1),
        (after, "Next", keys.NEXT, 1),
    ):
        column.button(
            text,
            key=f"{key} {item.digest}",
            shortcut=key,
            on_click=_go,
            args=(digests[(place + step) % len(digests)],),
            width="stretch",
        )


def _go(digest: str) -> None:
    st.session_state.at = digest


def _decisions(
    results: "Results", file: DecisionFile, lines: Lines, item: Item, digests: Sequence[str]
) -> None:
    """Draw the buttons; each has the image in its key, so that a press is for the image shown."""
    chosen = {decision.new for decision in lines.get(item.digest, [])}

    def button(text: str, key: str | None, new: str) -> None:
        st.button(
            text,
            key=f"{key} {new} {item.digest}",
            shortcut=key,
            on_click=_decide,
            args=(file, item, new, digests),
            type="primary" if new in chosen else "secondary",
            width="stretch",
            wrap=True,
        )

    button(f"Keep: {plain(item.label)} is right", keys.KEEP, item.label)
    if results.task.has_classes:
        for column, (name, key) in _columns(results):
            with column:
                button(plain(name), key, name)
    elif results.names:
        _tags(results, file, item, digests)
    else:
        _number(file, item, digests)
    if DROP not in results.names:
        button("Drop: do not use the image", keys.DROP, DROP)
    st.caption(plain(f"Last: {file.last or 'none'}"))
    undo, remove = st.columns(2)
    undo.button(
        "Undo",
        key=f"undo {item.digest}",
        shortcut=keys.UNDO,
        disabled=not file.last,
        on_click=_undo,
        args=(file, item),
        width="stretch",
    )
    remove.button(
        "Clear",
        key=f"remove {item.digest}",
        shortcut=keys.REMOVE,
        disabled=item.digest not in lines,
        on_click=_remove,
        args=(file, item),
        width="stretch",
    )


def _columns(results: "Results") -> Iterator[tuple["DeltaGenerator", tuple[str, str | None]]]:
    """Return the column of each class or tag, with its name and its key; keys go down."""
    known = [*keys.of(results.names).items()]
    left, right = st.columns(2)
    half = -(-len(known) // 2)
    return zip([left] * half + [right] * (len(known) - half), known, strict=True)


def _tags(results: "Results", file: DecisionFile, item: Item, digests: Sequence[str]) -> None:
    name = f"tags {item.digest}"
    chosen = st.session_state.setdefault(name, set(results.task.tags(item.label)))
    for column, (tag, key) in _columns(results):
        column.button(
            plain(tag),
            key=f"{key} {tag} {item.digest}",
            shortcut=key,
            on_click=chosen.symmetric_difference_update,
            args=({tag},),
            type="primary" if tag in chosen else "secondary",
            width="stretch",
        )
    st.button(
        f"Save: {plain(' '.join(sorted(chosen))) or 'no tags'}",
        key=f"save {item.digest}",
        shortcut=keys.SAVE,
        disabled=not chosen,
        on_click=_decide,
        args=(file, item, " ".join(sorted(chosen)), digests),
        width="stretch",
    )


def _number(file: DecisionFile, item: Item, digests: Sequence[str]) -> None:
    name = f"number {item.digest}"
    with st.form(f"form {item.digest}"):
        st.text_input("Right value", key=name, placeholder=item.label)
        st.form_submit_button(
            "Save", on_click=_decide_number, args=(file, item, name, digests), width="stretch"
        )


def _decide_number(file: DecisionFile, item: Item, name: str, digests: Sequence[str]) -> None:
    _decide(file, item, st.session_state[name], digests)


@contextmanager
def _telling() -> Iterator[None]:
    """Keep the message of a SeedlingsError for the next drawing of the page."""
    try:
        yield
    except SeedlingsError as error:
        st.session_state.problem = str(error)


def _is_shown(item: Item) -> bool:
    """Return whether an image is still the one of the page.

    A second press can arrive when the next image is on its way: it would change a decision of an
    image that the person no longer sees.
    """
    return st.session_state.at == item.digest


def _decide(file: DecisionFile, item: Item, new: str, digests: Sequence[str]) -> None:
    with _telling():
        if _is_shown(item):
            file.decide(item, new)
            following = queue.following(digests, item.digest, file.read())
            st.session_state.at = following or item.digest


def _undo(file: DecisionFile, item: Item) -> None:
    with _telling():
        if _is_shown(item) and (digest := file.undo()):
            st.session_state.at = digest


def _remove(file: DecisionFile, item: Item) -> None:
    with _telling():
        if _is_shown(item):
            file.remove(item)


def _prediction(version: Version, results: "Results", item: Item) -> None:
    said, probabilities, unlike, heat = _predicted(version, item.digest, results, item)
    st.subheader(plain(f"Model: {said}"), anchor=False)
    if unlike:
        st.warning(plain(f"Out-of-distribution: {unlike}"))
    ranked = sorted(probabilities.items(), key=lambda entry: -entry[1])
    for name, value in ranked[:_LIKELIEST]:
        st.progress(min(value, 1.0), text=plain(f"{name}: {value:.1%}"))
    if results.is_trained_with(item):
        st.caption("The model was trained with this image and its label.")
    st.image(heat, caption="Grad-CAM of the prediction", width="stretch")


@st.cache_data(max_entries=1000, show_spinner=False)
def _predicted(
    version: Version,
    digest: str,  # noqa: ARG001 - part of the key
    _results: "Results",
    _item: Item,
) -> tuple[str, dict[str, float], str, bytes]:
    """Return the prediction, the probabilities by name, why the image is unlike others, Grad-CAM.

    The Grad-CAM is PNG.
    """
    from seedlings.explain import saliency

    predictor, explainer = _model(version)
    cut_out = _results.cut_out(_item)
    row = predictor.answer_cut_outs(cut_out[None], [1.0]).iloc[0]
    said = row["prediction"]
    text = f"{said:.4g}" if isinstance(said, float) else said or "no tags"
    heat = image_grid.fit(saliency.overlay(cut_out, explainer.grad_cam(cut_out)), 2 * _SMALL)
    probabilities = dict(row.get("probabilities", {}))
    return text, probabilities, row["out_of_distribution"], images.encode_png(heat)


def _duplicates(item: Item) -> list[tuple[int, float | None]]:
    rows = {row for doubt in item.doubts for row in doubt.others}
    return [(row, None) for row in sorted(rows)[:_COLUMNS]]


def _others(
    title: str,
    version: Version,
    results: "Results",
    found: Sequence[tuple[int, float | None]] | Sequence[tuple[int, float]],
) -> None:
    """Draw other images side by side, with their labels and their distances."""
    if not found:
        return
    st.markdown(f"**{title}**")
    for column, (row, distance) in zip(st.columns(_COLUMNS), found, strict=False):
        image = results.table.iloc[row]
        far = "" if distance is None else f", distance {distance:.3f}"
        with column:
            _picture(version, image["path"], _SMALL, plain(f"{image['label'] or 'dropped'}{far}"))


def _picture(version: Version, path: str, pixels: int, caption: str | None = None) -> None:
    try:
        data = _encoded(version, path, pixels)
    except (OSError, images.BadImageError) as error:
        st.error(plain(f"expected the image {paths.RAW / path}, found none: {error}"))
        return
    st.image(data, caption=caption, width="stretch")


@st.cache_data(max_entries=1000, show_spinner=False)
def _encoded(version: Version, path: str, pixels: int) -> bytes:  # noqa: ARG001 - part of the key
    image = images.read(paths.RAW / path, least=(pixels, pixels))
    return images.encode_png(image_grid.fit(image, pixels))


def _prepare(version: Version, results: "Results", item: Item) -> None:
    """Compute what the page will probably show next."""
    _encoded(version, item.path, _LARGE)
    _predicted(version, item.digest, results, item)


def _grid(version: Version, selected: Sequence[Item], lines: Lines) -> None:
    digests = [item.digest for item in selected]
    at = st.session_state.get("at")
    start = digests.index(at) // _TILES * _TILES if at in digests else 0
    shown = selected[start : start + _TILES]
    st.caption(f"{start + 1} to {start + len(shown)} of {len(selected)}")
    before, after = st.columns(2)
    for column, text, key, place in (
        (before, "Previous", keys.PREVIOUS, max(0, start - _TILES)),
        (after, "Next", keys.NEXT, start + _TILES),
    ):
        column.button(
            text,
            key=f"{key} {start}",
            shortcut=key,
            disabled=place == start or place >= len(selected),
            on_click=_go,
            args=(digests[min(place, len(digests) - 1)],),
            width="stretch",
        )
    for first in range(0, len(shown), _COLUMNS):
        tiles = shown[first : first + _COLUMNS]
        for column, item in zip(st.columns(_COLUMNS), tiles, strict=False):
            with column:
                _tile(version, item, lines)


def _tile(version: Version, item: Item, lines: Lines) -> None:
    decisions = sorted({decision.new for decision in lines.get(item.digest, [])})
    decision = f" → {', '.join(decisions)}" if decisions else ""
    _picture(version, item.path, _SMALL, plain(f"{item.label}{decision}"))
    st.button(
        "Open",
        key=f"open {item.digest}",
        on_click=_open,
        args=(item.digest,),
        width="stretch",
    )


def _open(digest: str) -> None:
    st.session_state.at = digest
    count, _ = st.session_state.filters["view"]
    st.session_state.filters["view"] = (count + 1, _ONE)


def _skipped(skipped: Sequence[str]) -> None:
    if skipped:
        with st.expander(f"Skipped files: {len(skipped)}"):
            st.caption("They have no label to decide about. Repair or remove the files.")
            st.dataframe({"file and reason": list(skipped)}, width="stretch", hide_index=True)


def _next_steps(results: "Results", lines: Lines) -> None:
    st.divider()
    if not results.lists_doubtful:
        st.caption(
            "The stage evaluate lists no doubtful labels: the task has no classes, or "
            "evaluate.doubtful_labels is 0."
        )
    elif not any(queue.DOUBTFUL in item.kinds for item in results.items):
        st.caption("The stage evaluate found no doubtful label that is not decided.")
    st.markdown(
        plain(
            f"Each decision is saved at once in {paths.CORRECTIONS}; it has {len(lines)} by now. "
            "When you have finished, or at any time before:"
        )
    )
    st.code(_STEPS, language="shell")


def _tell(problem: object) -> None:
    st.error(plain(str(problem)).replace("\n", "  \n"))
