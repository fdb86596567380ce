from seedlings.report import summaries

METRICS = {
    "images": 10.0,
    "finetuned/accuracy": 0.75,
    "finetuned/accuracy_low": 0.5,
    "finetuned/macro_f1": 0.7,
    "baseline/accuracy": 0.25,
    "majority/accuracy": 0.1,
}


def test_the_simplest_model_comes_first_and_a_missing_number_is_none() -> None:
    assert summaries.models(METRICS) == ["majority", "baseline", "finetuned"]
    found = {line.metric: line for line in summaries.lines(METRICS)}
    assert found["accuracy"].values == (0.1, 0.25, 0.75)
    assert found["macro_f1"].values == (None, None, 0.7)
    assert (found["macro_f1"].title, found["macro_f1"].is_end) == ("macro F1", False)
    assert (found["accuracy_low"].title, found["accuracy_low"].is_end) == ("from", True)


def test_the_split_is_that_of_the_parameters_and_test_without_the_key() -> None:
    assert summaries.split({"evaluate.on": "validation"}) == "validation"
    assert summaries.split({"seed": 1}) == "test"
    assert summaries.note("test") == ""
    assert summaries.note("validation").startswith("Validation images are also used for")


def test_the_comparison_is_that_of_the_task() -> None:
    counts = {"mcnemar/only_baseline_right": 2.0, "mcnemar/only_finetuned_right": 9.0}
    assert "9 images only the fine-tuned model got right, 2" in summaries.comparison(
        counts | {"mcnemar/p_value": 0.0654}
    )
    assert summaries.comparison({"wilcoxon/p_value": 0.01}).endswith("p = 0.01")
