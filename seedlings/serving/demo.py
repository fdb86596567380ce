"""The demo: a Streamlit page that shows the prediction for an uploaded image."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

if TYPE_CHECKING:  # TensorFlow takes seconds to import, in which the page would be empty
    import pandas as pd

    from seedlings.explain.saliency import Explainer
    from seedlings.images import Image
    from seedlings.serving.predictor import Predictor

_SHOWN = 5
_TILE = 480


def show(package: Path) -> None:
    """Draw the page for the packaged model in the folder `package`.

    Streamlit calls this function after each interaction with the page. Raises SeedlingsError if the
    folder has no bundle.
    """
    st.set_page_config(page_title="Seedlings")
    st.title("Seedlings", anchor=False)
    predictor, explainer = _loaded(str(package))
    file = st.file_uploader("Image")
    if file is None:
        return
    from seedlings import images

    try:
        image = predictor.decode(file.getvalue())
        shown = images.decode(file.getvalue(), least=(_TILE, _TILE))
    except images.BadImageError as error:
        st.error(plain(f"{file.name}: {error}"))
        return
    row = predictor.answer([image]).iloc[0]
    _answer(row)
    _pictures(shown, predictor.cut_out(image), explainer)
    _probabilities(row.get("probabilities", {}))


@st.cache_resource(show_spinner="Loading the model ...")
def _loaded(package: str) -> "tuple[Predictor, Explainer]":
    from seedlings.serving import explained

    return explained.load(Path(package))


def _answer(row: "pd.Series") -> None:
    said = row["prediction"]
    text = plain(f"{said:.4g}" if isinstance(said, float) else said or "no tags")
    if not row["out_of_distribution"]:
        st.header(text, anchor=False)
        return
    what, _, detail = row["out_of_distribution"].partition(": ")
    st.header(plain(f"Out-of-distribution: {what}"), anchor=False)
    st.warning(plain(f"{detail[0].upper()}{detail[1:]}. The prediction below is not reliable."))
    st.subheader(text, anchor=False)


def _probabilities(probabilities: Mapping[str, float]) -> None:
    ranked = sorted(probabilities.items(), key=lambda entry: -entry[1])
    for name, value in ranked[:_SHOWN]:
        st.progress(min(value, 1.0), text=plain(f"{name}: {value:.1%}"))
    if len(ranked) > _SHOWN:
        st.caption(f"and {len(ranked) - _SHOWN} that are less likely")


def _pictures(image: "Image", cut_out: "Image", explainer: "Explainer") -> None:
    from seedlings.explain import saliency
    from seedlings.plots import image_grid

    heat = saliency.overlay(cut_out, explainer.grad_cam(cut_out))
    shown = [
        ("Image", image_grid.fit(image, _TILE)),
        ("Input of the network", cut_out),
        ("Grad-CAM of the prediction", heat),
    ]
    for column, (caption, picture) in zip(st.columns(len(shown)), shown, strict=True):
        column.image(picture, caption=caption, width="stretch", output_format="PNG")


def plain(text: str) -> str:
    """Return a text with its ASCII punctuation escaped, because Streamlit interprets Markdown.

    Markdown has no escapes for other letters: a backslash before them is shown.
    """
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", text)
