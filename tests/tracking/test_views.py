import json

from seedlings.tracking import views


def test_the_tag_holds_the_view_that_the_link_names() -> None:
    [(key, value)] = views.tag().items()
    name = key.removeprefix("mlflow.sharedViewState.")
    assert views.link("7") == (
        f"#/experiments/7/runs?viewStateShareKey={name}&workflowType=machine_learning"
    )
    state = json.loads(json.loads(value)["state"])
    first = ["params.`evaluate.on`", "metrics.`finetuned/accuracy`"]
    assert state["selectedColumns"][:2] == first
    assert state["searchFilter"] == "tags.`seedlings.complete` = 'true'"
