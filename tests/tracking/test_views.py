import json

from seedlings.tracking import views


def test_the_tag_holds_the_view_that_the_link_names() -> None:
    [(key, value)] = views.tag().items()
    name = key.removeprefix("mlflow.sharedViewState.")
    assert views.link("7") == (
        f"#/experiments/7/runs?viewStateShareKey={name}&workflowType=machine_learning"
    )
    state = json.loads(json.loads(value)["state"])
    assert state["selectedColumns"][0] == "metrics.`finetuned/accuracy`"
    assert state["searchFilter"] == "tags.`seedlings.complete` = 'true'"
