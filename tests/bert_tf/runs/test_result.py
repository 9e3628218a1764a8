from bert_tf.runs.result import best_evaluation, gain


def test_which_value_of_a_score_is_better():
    assert gain("accuracy", 0.6) > gain("accuracy", 0.5) > gain("accuracy", float("nan"))
    assert gain("perplexity", 20.0) > gain("perplexity", 30.0)
    assert gain("mse", 0.5) > gain("mse", 0.6) > gain("mse", float("nan"))
    evaluations = [(1, {"f1": 0.2, "tagging_loss": 3.0}), (2, {"f1": 0.5, "tagging_loss": 1.0}), (3, {"f1": 0.5})]
    assert best_evaluation(evaluations, "f1") == 1
    assert best_evaluation(evaluations[:2], "tagging_loss") == 1
