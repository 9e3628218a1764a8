"""The picture and the table of the pre-training benchmark."""

from collections.abc import Sequence
from typing import Any

_AXES = {"minutes": "minutes on this machine", "step": "steps", "tokens": "millions of tokens, padding included"}
_COLORS = {"bert_tf": "#1f5fa8", "bert_tf_jax": "#2a9d8f", "tf_models_official": "#d1702a", "keras_hub": "#8a5aa8"}
_STYLES = {"plain start": (0, (1, 4)), "4 x as long": ":", "first recipe": "-.", "paper's": "--"}
_OTHERS = ("#c03a5b", "#6b8e23", "#b8860b", "#5f9ea0", "#708090", "#cd5c5c", "#4682b4", "#9370db")


def write_picture(results: Sequence[dict[str, Any]], path: str) -> None:
    """Write the held-out losses over time, steps and tokens as a PNG or SVG (the extra `plot`).

    A color stands for an implementation, and `_STYLES` for the recipes other than this project's; a color stands for a
    recipe where all trainings are this project's.
    """
    import matplotlib
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11.0, 4.0), layout="constrained")
    axes = figure.subplots(1, len(_AXES), sharey=True)
    recipes = len({result["label"].partition(",")[0] for result in results}) == 1
    for axis, (name, title) in zip(axes, _AXES.items(), strict=True):
        for number, result in enumerate(results):
            color = _OTHERS[number % len(_OTHERS)] if recipes else _COLORS[result["label"].partition(",")[0]]
            styles = [] if recipes else [style for part, style in _STYLES.items() if part in result["label"]]
            places = [point[name] / (1e6 if name == "tokens" else 1) for point in result["points"]]
            losses = [point["masked_lm_loss"] for point in result["points"]]
            axis.plot(
                places,
                losses,
                linestyle=next(iter(styles), "-"),
                marker="o",
                markersize=3,
                color=color,
                label=result["label"],
            )
        axis.set_xlabel(title)
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("held-out masked-LM loss, nats a token")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    # Letters stay letters in an SVG, and the same results give the same bytes.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "pretraining"}):
        metadata = {"Date": None} if path.endswith(".svg") else None
        figure.savefig(path, dpi=120, facecolor="white", metadata=metadata)


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
