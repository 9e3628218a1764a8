"""The log of a run is JSON that every language reads, and a run that goes on reads it back."""

import json
import math

from bert_tf.runs.metrics_log import METRICS_FILE, MetricsLog


def test_a_score_without_a_value_is_null_on_disk_and_nan_again_after_a_restart(tmp_path):
    log = MetricsLog(str(tmp_path), start=0)
    log.write("eval", 2, {"pearson": math.nan, "mse": 0.5})
    log.write("eval", 4, {"pearson": 0.25, "mse": 0.25})
    lines = [json.loads(line) for line in (tmp_path / METRICS_FILE).read_text().splitlines()]
    assert lines[0] == {"kind": "eval", "step": 2, "pearson": None, "mse": 0.5}
    [(step, metrics)] = MetricsLog(str(tmp_path), start=2).evaluations()
    assert step == 2
    assert math.isnan(metrics["pearson"])
    assert metrics["mse"] == 0.5


def test_reports_of_steps_that_are_made_again_are_dropped(tmp_path):
    log = MetricsLog(str(tmp_path), start=0)
    for step in (2, 4):
        log.write("train", step, {"loss": 1.0 / step})
    again = MetricsLog(str(tmp_path), start=2)
    assert again.metrics("train", 2) == {"loss": 0.5}
    assert again.metrics("train", 4) == {}
    assert len((tmp_path / METRICS_FILE).read_text().splitlines()) == 1
