import json

from seedlings.tracking import page


def test_the_tag_holds_the_page_that_the_link_names() -> None:
    [(key, value)] = page.tag().items()
    name = key.removeprefix("mlflow.sharedViewState.")
    assert page.link("7") == (
        f"#/experiments/7/runs?viewStateShareKey={name}&workflowType=machine_learning"
    )
    state = json.loads(json.loads(value)["state"])
    assert state["selectedColumns"][:4] == [
        "params.`composed_from`",
        "tags.`seedlings.changed`",
        "params.`evaluate.split`",
        "metrics.`finetuned/accuracy`",
    ]
    assert state["searchFilter"] == "tags.`seedlings.complete` = 'true'"
