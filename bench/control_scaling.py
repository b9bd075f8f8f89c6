"""Time per tick of the control core against the number of units and of robot models, as figures and a plot.

A floor of one model grows from 1 to 20,000 units; a floor of 4,096 units is split among 1 to 64 models.
"""

from pathlib import Path

from bench.control_kernel import JOINTS, running
from bench.turns import take_turns
from controller import Floor, backend

UNITS = (1, 4, 16, 64, 256, 1024, 4096, 10_000, 20_000)
MODELS = (1, 4, 16, 64)
UNITS_OF_MIX = 4096
PICTURE = Path(__file__).parents[1] / "docs" / "images" / "control-scaling.png"


def run() -> dict[str, object]:
    """Measure, draw, and return the figures."""
    by_units = {units: take_turns({"step": running(units).step}, rounds=31)["step"] for units in UNITS}
    by_models = {}
    for models in MODELS:
        # Models differ in their joints, as makers' robots do.
        cohorts = [running(UNITS_OF_MIX // models, joints=JOINTS - i % 7, seed=i) for i in range(models)]
        updates = sum(cohort.q.size for cohort in cohorts)
        by_models[models] = take_turns({"step": Floor(cohorts).step}, rounds=31)["step"] / updates
    per_joint_ns = {units: seconds / (units * JOINTS) * 1e9 for units, seconds in by_units.items()}
    _draw(by_units, per_joint_ns, {models: seconds * 1e9 for models, seconds in by_models.items()})
    return {
        "backend": backend(),
        "tick_us": {str(units): round(seconds * 1e6, 2) for units, seconds in by_units.items()},
        "ns_per_joint": {str(units): round(cost, 3) for units, cost in per_joint_ns.items()},
        "ns_per_joint_by_models": {str(models): round(s * 1e9, 3) for models, s in by_models.items()},
        "picture": str(PICTURE.relative_to(PICTURE.parents[2])),
    }


def _draw(tick_s: dict[int, float], per_joint_ns: dict[int, float], by_models_ns: dict[int, float]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, (left, right, last) = plt.subplots(1, 3, figsize=(13, 4), layout="constrained")
    left.loglog(list(tick_s), [seconds * 1e6 for seconds in tick_s.values()], "o-", color="#1f6f8b")
    left.set(title=f"one tick of a floor, {JOINTS} joints a unit", xlabel="units", ylabel="time [µs]")
    right.semilogx(list(per_joint_ns), list(per_joint_ns.values()), "o-", color="#c0562f")
    right.set(
        title=f"cost per joint ({backend()}, one core)", xlabel="units", ylabel="time per joint [ns]", yscale="log"
    )
    last.semilogx(list(by_models_ns), list(by_models_ns.values()), "o-", color="#5b7f3a")
    last.set(title=f"{UNITS_OF_MIX} units split among models", xlabel="models", ylabel="time per joint [ns]")
    last.set_ylim(bottom=0.0)
    for axes in (left, right, last):
        axes.grid(alpha=0.3, which="both")
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(PICTURE, dpi=110)
    plt.close(figure)
