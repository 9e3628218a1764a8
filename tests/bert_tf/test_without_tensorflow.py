"""What needs no TensorFlow works where it is not installed."""

import subprocess
import sys

_BLOCKED = "import sys; sys.modules.update(tensorflow=None, keras=None)\n"  # importing either is an ImportError


def test_metrics_logs_are_read(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"kind": "eval", "step": 3, "accuracy": 0.5}\n')
    code = "from bert_tf.runs.metrics_log import MetricsLog\nprint(MetricsLog(sys.argv[1], start=3).evaluations())"
    result = subprocess.run(
        [sys.executable, "-c", _BLOCKED + code, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert result.stdout.strip() == "[(3, {'accuracy': 0.5})]", result.stderr
