"""The picture and the table of the pre-training benchmark."""

from collections.abc import Sequence
from typing import Any

_AXES = {"minutes": "minutes on this machine", "tokens": "positions, in millions", "step": "steps"}


def write_picture(results: Sequence[dict[str, Any]], path: str) -> None:
    """Write the held-out losses over time, positions and steps as a PNG or SVG (the extra `plot`)."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13.0, 4.2), layout="constrained")
    axes = figure.subplots(1, len(_AXES), sharey=True)
    for axis, (name, title) in zip(axes, _AXES.items(), strict=True):
        for result in results:
            own = result["label"].startswith("bert_tf")
            places = [point[name] / (1e6 if name == "tokens" else 1) for point in result["points"]]
            losses = [point["masked_lm_loss"] for point in result["points"]]
            axis.plot(places, losses, "-o" if own else "--s", markersize=3, label=result["label"])
        axis.set_xlabel(title)
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("held-out masked-LM loss, nats")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    figure.savefig(path, dpi=120)


def minutes_to_reach(points: Sequence[dict[str, Any]], loss: float) -> float | None:
    """Return when a curve falls to a loss, by linear interpolation between evaluations; None if it never does."""
    before = None
    for point in points:
        if point["masked_lm_loss"] <= loss:
            if before is None:
                return point["minutes"]
            share = (before["masked_lm_loss"] - loss) / (before["masked_lm_loss"] - point["masked_lm_loss"])
            return before["minutes"] + share * (point["minutes"] - before["minutes"])
        before = point
    return None


def describe(results: Sequence[dict[str, Any]]) -> str:
    """Return the trainings as a Markdown table.

    Its last column is when this project's first curve had the other's last loss, in percent of that one's time.
    """
    lines = [
        "| | ms a step | steps | held-out loss | accuracy | this project was there after |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    own = next((result for result in results if result["label"].startswith("bert_tf")), None)
    for result in results:
        last = result["points"][-1]
        reached = minutes_to_reach(own["points"], last["masked_lm_loss"]) if own and own is not result else None
        share = f"{reached / last['minutes']:.0%} of the time" if reached is not None else ""
        lines.append(
            f"| {result['label']} | {1e3 * result['seconds_per_step']:,.0f} | {last['step']:,} "
            f"| {last['masked_lm_loss']:.3f} | {last['masked_lm_accuracy']:.3f} | {share} |"
        )
    return "\n".join(lines)
