"""The report of a plan, and the table that compares machines."""

from collections.abc import Iterable

from experiments.planning.estimates import Plan

_COLUMNS = (
    "experiment",
    "machine",
    "tokens/s",
    "hours",
    "dollars",
    "steps",
    "checkpoint, GB",
    "waits at each, s",
    "best interval, min",
    "interruptions",
    "records, GB",
    "input cores a host",
)


def lines(plan: Plan) -> list[str]:
    """Return the report of a plan, a line for each subject."""
    machine, assumed, stops = plan.machine, plan.assumptions, plan.interruptions
    tokens_per_second = plan.tokens / (plan.num_steps * plan.step_seconds)
    room = "which the TPU compiler found to fit" if plan.checked else "which no compiler has checked"
    price = machine.price if assumed.chip_price is None else None
    source = f"; seen {price.seen}: {price.source}" if price is not None else ""
    hosts = "1 host" if machine.hosts == 1 else f"{machine.hosts} hosts"
    without = plan.hours(plan.best_checkpoint_every)
    return [
        "An estimate: nothing of it was measured on these chips.",
        f"machine       {machine.name}: {machine.devices} devices on {hosts}, {machine.peak_tflops:g} TFLOP/s each, of "
        f"which {assumed.peak_share:.0%} are assumed",
        f"model         {plan.parameters / 1e6:.1f} million weights; {plan.tokens:.4g} tokens in rows of "
        f"{plan.max_seq_length}, {assumed.row_fill:.1%} full",
        f"step          {plan.rows} rows a device, {room}; {plan.step_tflop:.2f} TFLOP a device, "
        f"{plan.step_seconds * 1e3:.1f} ms, {tokens_per_second:.3g} tokens/s",
        f"training      {plan.num_steps:,} steps, {plan.undisturbed_hours:.2f} hours without checkpoints and stops",
        f"checkpoints   {plan.checkpoint_bytes / 1e9:.2f} GB; the training waits {stops.save:.2f} s every "
        f"{plan.checkpoint_every:,} steps ({plan.checkpoint_every * plan.step_seconds / 60:.1f} min)",
        f"stops         one in {stops.mean / 3600:,.0f} hours, {stops.restart / 60:.1f} min each: "
        f"{plan.expected_interruptions:.2f} expected",
        f"in all        {plan.hours():.2f} hours; {without:.2f} with a checkpoint every {plan.best_checkpoint_every:,} "
        "steps, which is best",
        f"money         {_dollars(plan.dollars)} for {machine.chips} chips{source}",
        f"storage       {plan.stored_bytes / 1e9:,.0f} GB of records and {plan.kept_checkpoints} checkpoints, "
        f"{_dollars(plan.storage_dollars)}",
        f"preparation   {plan.text_bytes / 1e9:,.0f} GB of text, {plan.preparation_core_hours:,.0f} core-hours",
        f"input         {plan.rows_per_host:,.0f} rows/s on each host, {plan.input_cores:.2f} of its cores",
    ]


def simulation_line(plan: Plan, *, trials: int, seed: int) -> str:
    """Return the hours of simulated trainings, in a line.

    Args:
        plan: the plan.
        trials: the number of trainings to simulate.
        seed: the seed of the interruptions.
    """
    seconds = plan.interruptions.simulated(
        plan.undisturbed_hours * 3600, plan.checkpoint_every * plan.step_seconds, trials=trials, seed=seed
    )
    low, middle, high = (sorted(seconds)[int(share * (trials - 1))] / 3600 for share in (0.05, 0.5, 0.95))
    return (
        f"simulated     {trials} trainings: {middle:.2f} hours in the middle, {low:.2f} to {high:.2f} for nine in ten"
    )


def table(plans: Iterable[tuple[str, Plan]]) -> str:
    """Return a Markdown table with a row for each plan.

    Args:
        plans: pairs of the experiment's name and its plan.
    """
    rows = [_COLUMNS, ("---",) * len(_COLUMNS), *(_row(name, plan) for name, plan in plans)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _row(name: str, plan: Plan) -> tuple[str, ...]:
    return (
        name,
        plan.machine.name,
        f"{plan.tokens / (plan.num_steps * plan.step_seconds):.3g}",
        f"{plan.hours():.1f}",
        "-" if plan.dollars is None else f"{plan.dollars:,.0f}",
        f"{plan.num_steps / 1e3:,.0f} k",
        f"{plan.checkpoint_bytes / 1e9:.2f}",
        f"{plan.interruptions.save:.1f}",
        f"{plan.best_checkpoint_every * plan.step_seconds / 60:.0f}",
        f"{plan.expected_interruptions:.2f}",
        f"{plan.record_bytes / 1e9:,.0f}",
        f"{plan.input_cores:.2f}",
    )


def _dollars(value: float | None) -> str:
    return "unknown dollars (--chip_price)" if value is None else f"{value:,.0f} dollars"
