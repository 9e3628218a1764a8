"""The benchmark of raw strings: who is asked, how often, and with what."""

from experiments.benchmarks import fit_raw_text


class Recorder:
    def __init__(self, log, name):
        self.log, self.name = log, name

    def fit(self, x, y, *, batch_size, epochs, verbose):
        self.log.append((self.name, "fit", list(x), list(y)))

    def predict(self, x, *, batch_size, verbose):
        self.log.append((self.name, "predict", list(x), None))


def test_sides_take_turns_after_an_epoch_each():
    log = []
    sides = {name: lambda name=name: Recorder(log, name) for name in ("one", "other")}
    found = fit_raw_text.race(sides, ["a", "b"], [0, 1], rounds=2)
    calls = [entry[:2] for entry in log]
    both = [("one", "fit"), ("one", "predict"), ("other", "fit"), ("other", "predict")]
    assert calls == 3 * both
    assert all(entry[2:] == (["a", "b"], [0, 1] if entry[1] == "fit" else None) for entry in log)
    assert {name: {kind: len(values) for kind, values in runs.items()} for name, runs in found.items()} == {
        key: {"fit": 2, "predict": 2} for key in sides
    }
