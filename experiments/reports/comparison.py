"""The comparison of runs: scores, differing settings, and what cannot be compared."""

from collections.abc import Mapping, Sequence
from typing import Any

from bert_tf.examples import DIGESTS
from experiments.reports.runs import Curve, Numbered, Sweep
from experiments.reports.series import mean_and_deviation, metric_names

NOT_ANSWERED = {
    "retrieval": "a query is answered by a search among all passages, which `bert-tf evaluate` scores",
    "seq2seq": "a generated text is not simply right or wrong, and `bert-tf evaluate --generation_metrics` scores it",
}
"""Why a report has no answers to single examples for these tasks."""


def scores(curves: Sequence[Curve]) -> list[dict[str, Any]]:
    """Return a table for each kind of task: the scores of the evaluation that belongs to each curve's result.

    Returns:
        Dictionaries of `task`, `names` and `rows`. A row has its `curve` (an index), `evaluation` (`best` or `last`,
        and the step), and `values`: [mean, deviation] for each name; the deviation is None for one seed.
    """
    tables = []
    for kind in dict.fromkeys(curve.task for curve in curves):
        rows = []
        reports: list[Mapping[str, Any]] = []
        for index, curve in enumerate(curves):
            found = [result for run in curve.runs if (result := run.result()) is not None]
            if curve.task == kind and found:
                reports += [report for _, report in found]
                steps = sorted({report["step"] for _, report in found})
                shown = f"step {steps[0]}" if len(steps) == 1 else f"steps {steps[0]} to {steps[-1]}"
                rows.append((index, f"{found[0][0]}, {shown}", [report for _, report in found]))
        names = metric_names(reports)
        if rows:
            shown_rows = [
                {"curve": index, "evaluation": evaluation, "values": _values(of_seeds, names)}
                for index, evaluation, of_seeds in rows
            ]
            tables.append({"task": kind, "names": names, "rows": shown_rows})
    return tables


def _values(reports: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[list[float | None]]:
    return [list(mean_and_deviation([report.get(name) for report in reports])) for name in names]


def tables(curves: Numbered) -> list[dict[str, Any]]:
    """Return the tables that the logs of the runs hold, such as confusion matrices.

    Returns:
        Dictionaries of `curve` (an index), `of` (the folder of the run), `task` (its kind), `member` (the name of one
        of several tasks, else ""), and `scores` (the tables by name).
    """
    found = []
    for index, curve in curves:
        run = curve.best_run()
        result = run.result()
        by_member: dict[str, dict[str, Any]] = {}
        for name, value in result[1].items() if result else ():
            member, _, score = name.rpartition("/")
            if score in ("confusion_matrix", "types"):
                by_member.setdefault(member, {})[score] = value
        found += [
            {"curve": index, "of": run.folder, "task": curve.task, "member": member, "scores": values}
            for member, values in by_member.items()
        ]
    return found


def settings(curves: Sequence[Curve]) -> dict[str, Any]:
    """Return the settings: `differing` and `common` ones, each a list of [name, a value for each curve].

    The values of several seeds are those of the first, but for the seed itself.
    """
    flat = [_flat(curve) for curve in curves]
    names = list(dict.fromkeys(name for one in flat for name in one))
    rows = [[name, *(one.get(name, "") for one in flat)] for name in names]
    return {
        "differing": [row for row in rows if len(set(row[1:])) > 1],
        "common": [row for row in rows if len(set(row[1:])) == 1],
    }


def _flat(curve: Curve) -> dict[str, str]:
    """Return all settings of a curve as texts, by dotted name."""
    found: dict[str, str] = {"task": curve.task}

    def add(prefix: str, value: Any) -> None:
        if isinstance(value, dict):
            for name, item in value.items():
                add(f"{prefix}.{name}" if prefix else name, item)
        else:
            found[prefix] = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)

    description = curve.runs[0].description.to_dict()
    add("", description["experiment"])
    add("data", description["data"])
    for name in ("labels", "max_seq_length", "vocab_hash"):
        add(name, description[name])
    if len(curve.runs) > 1:
        found["train.seed"] = ", ".join(str(run.description.config().train.seed) for run in curve.runs)
    return found


def notes(curves: Sequence[Curve], sweeps: Sequence[Sweep]) -> list[str]:
    """Return sentences about what is missing, and about what cannot be compared."""
    found = []
    kinds: dict[str, list[str]] = {}
    for curve in curves:
        kinds.setdefault(curve.task, []).append(curve.name)
    if len(kinds) > 1:
        listed = "; ".join(f"{kind.replace('_', ' ')}: {', '.join(names)}" for kind, names in kinds.items())
        found.append(
            f"These runs are of different kinds ({listed}). Learning rate, norms, speed and memory are drawn "
            "together; losses and scores only with runs of the same kind."
        )
    silent = [curve.name for curve in curves if not any(run.reports for run in curve.runs)]
    if silent:
        found.append(f"No metrics yet: {', '.join(silent)}. Only the settings are shown.")
    unevaluated = [
        curve.name
        for curve in curves
        if curve.name not in silent and not any(run.result() is not None for run in curve.runs)
    ]
    if unevaluated:
        found.append(f"Never evaluated, so there are losses of training alone: {', '.join(unevaluated)}.")
    for kind, names in kinds.items():
        data = {_evaluated_on(curve) for curve in curves if curve.task == kind} - {""}
        if len(data) > 1:
            found.append(f"Evaluated on different data, so scores are not comparable: {', '.join(names)}.")
    found += [
        f"{sweep.name} is not finished: it has {sum(map(_count, sweep.points))} finished runs."
        for sweep in sweeps
        if not sweep.finished
    ]
    return found


def _count(point: Mapping[str, Any]) -> int:
    return max(map(len, point["values"].values()), default=0)


def _evaluated_on(curve: Curve) -> str:
    """Return what a curve was evaluated on: the digest of the examples if it is known, else the path."""
    data = curve.runs[0].description.data
    return str((data.get(DIGESTS) or {}).get("eval") or data.get("eval") or "")
