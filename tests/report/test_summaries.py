from seedlings.report import summaries

METRICS = {
    "images": 10.0,
    "finetuned/accuracy": 0.75,
    "finetuned/accuracy_low": 0.5,
    "finetuned/accuracy_high": 0.9,
    "finetuned/macro_f1": 0.7,
    "baseline/accuracy": 0.25,
    "majority/accuracy": 0.1,
}


def test_the_simplest_model_comes_first_and_a_missing_number_is_empty() -> None:
    assert summaries.models(METRICS) == ["majority", "baseline", "finetuned"]
    found = {line.metric: line for line in summaries.lines(METRICS)}
    assert [*found] == ["accuracy", "accuracy_low", "accuracy_high", "macro_f1"]
    assert found["accuracy"].cells == ("0.1000", "0.2500", "0.7500")
    assert found["macro_f1"].cells == ("", "", "0.7000")
    assert (found["macro_f1"].title, found["macro_f1"].is_end) == ("macro F1", False)
    assert (found["accuracy_low"].title, found["accuracy_low"].is_end) == ("from", True)


def test_a_model_without_an_interval_is_shown_with_none() -> None:
    found = {line.metric: line for line in summaries.lines(METRICS)}
    assert found["accuracy_low"].cells == ("", "no interval", "0.5000")
    assert found["accuracy_high"].cells == ("", "", "0.9000")
    without = {key: value for key, value in METRICS.items() if "_low" not in key}
    found = {line.metric: line for line in summaries.lines(without)}
    assert found["accuracy_low"].cells == ("", "no interval", "no interval")
    assert summaries.intervals(METRICS) == {
        "majority": "",
        "baseline": "no interval",
        "finetuned": "0.5 to 0.9",
    }


def test_the_result_is_one_sentence() -> None:
    assert summaries.result(METRICS | {"groups": 7.0}, "validation") == (
        "accuracy 0.7500 (0.5000 to 0.9000) on 10 validation images in 7 groups; "
        "majority 0.1000, baseline 0.2500"
    )


def test_both_scores_are_told_where_labels_were_corrected() -> None:
    before = {f"original_labels/{name}": value / 2 for name, value in METRICS.items()}
    found = METRICS | before | {"corrected_labels": 2.0, "dropped_images": 1.0}
    assert summaries.corrected(found, "test") == (
        "2 labels of test images were corrected and 1 test image dropped by data/corrections.csv."
    )
    assert summaries.result(found, "test") == (
        "accuracy 0.7500 (0.5000 to 0.9000) on 10 test images; majority 0.1000, baseline 0.2500; "
        "with the original labels (2 corrected, 1 dropped) accuracy 0.3750 (0.2500 to 0.4500) "
        "on 5 test images"
    )
    others = METRICS | {"corrected_labels": 1.0, "dropped_images": 0.0}
    assert summaries.corrected(others, "validation") == (
        "1 label of validation images was corrected and 0 validation images dropped by "
        "data/corrections.csv. There are no metrics with the original labels, because the "
        "corrections added or removed a class."
    )
    assert summaries.corrected(METRICS, "test") == ""
    assert summaries.original_labels(METRICS) == {}


def test_groups_are_told_if_there_are_fewer_than_images() -> None:
    assert summaries.count(METRICS, "test") == "10 test images"
    assert summaries.count(METRICS | {"groups": 10.0}, "test") == "10 test images"
    assert summaries.count(METRICS | {"groups": 7.0}, "test") == "10 test images in 7 groups"
    assert summaries.count(METRICS | {"groups": 1.0}, "test") == "10 test images in 1 group"


def test_labels_without_images_are_told() -> None:
    assert summaries.absent(METRICS) == ""
    assert summaries.absent(METRICS | {"absent_labels": 1.0}) == (
        "1 label without a true image has no scores; macro F1 is the mean over the others."
    )
    two = summaries.absent(METRICS | {"absent_labels": 2.0})
    assert two.startswith("2 labels without a true image have no scores;")


def test_false_alarms_are_beside_the_share_that_is_expected() -> None:
    packaged = {
        "out_of_distribution/distance": 0.69367,
        "out_of_distribution/expected_share": 0.0069,
    }
    assert summaries.false_alarms({"out_of_distribution/share": 0.0108}, packaged) == (
        "1.08% of the images are farther from the training images than 0.694, and are named "
        "out-of-distribution by mistake; 0.69% are expected."
    )
    assert summaries.false_alarms({}, packaged) == ""


def test_the_split_is_that_of_the_parameters_and_test_without_the_key() -> None:
    assert summaries.split({"evaluate.split": "validation"}) == "validation"
    assert summaries.split({"seed": 1}) == "test"
    assert summaries.note("test") == ""
    assert summaries.note("validation").startswith("Validation images are also used for")


def test_the_comparison_is_that_of_the_task() -> None:
    counts = {"mcnemar/only_baseline_right": 2.0, "mcnemar/only_finetuned_right": 9.0}
    assert "9 images only the fine-tuned model got right, 2" in summaries.comparison(
        counts | {"mcnemar/p_value": 0.0654}
    )
    assert summaries.comparison({"wilcoxon/p_value": 0.01}).endswith("p = 0.01")
    groups = {"images": 20.0, "groups": 12.0}
    assert summaries.comparison(counts | groups | {"mcnemar/p_value": 0.1}) == (
        "Sign-flip test of 12 groups: 9 images only the fine-tuned model got right, 2 only the "
        "baseline; p = 0.1"
    )
    assert summaries.comparison(groups | {"wilcoxon/p_value": 0.01}) == (
        "Wilcoxon signed-rank test of the two models, means of 12 groups: p = 0.01"
    )
    assert summaries.comparison(
        groups | counts | {"groups": 20.0, "mcnemar/p_value": 1}
    ).startswith("McNemar's test: 9 images")
