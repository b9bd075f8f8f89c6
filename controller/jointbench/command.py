"""The bench and the identification on the command line; `python -m controller` and `python -m sim` offer them."""

import argparse
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from controller.actuator import JointPhysics, load_actuator
from controller.errors import TraceError
from controller.identify import MODELS, Estimate, fit_friction, fit_thermal, select_friction
from controller.jointbench.figure import EVALUATIONS, Figure, evaluate, friction_samples, thermal_samples
from controller.jointbench.plot import draw, draw_friction, draw_thermal
from controller.jointbench.procedure import PROCEDURES, Joint, run
from controller.jointbench.trace import Trace, read_trace
from controller.spec import JointSpec

CHECKED = ("torque-speed", "backlash", "overload", "stall", "heating")
"""Tests whose figures the specification states outright; the others' compare with an ideal joint."""


def add_bench_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `bench_joint` takes, besides the joint."""
    parser.add_argument("--test", choices=(*PROCEDURES, "all"), default="all", help="which test; default all")
    parser.add_argument(
        "--actuator", type=Path, metavar="TOML", help="friction, play, heat: a file of configs/actuators"
    )
    parser.add_argument("--inertia-kg-m2", type=float, help="what hangs on the joint, and the actuator's own")
    parser.add_argument("--backlash-rad", type=float, help="play, instead of the actuator's")
    parser.add_argument("--delay-s", type=float, default=0.0, help="delay of commands")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write CSV and PNG of each test there")


def bench_joint(spec: JointSpec, given: argparse.Namespace, *, inertia_kg_m2: float | None = None) -> int:
    """Run tests of one simulated joint and print its figures. Returns 1 if one of them contradicts the specification.

    Args:
        spec: The joint.
        given: Of `add_bench_arguments`.
        inertia_kg_m2: What the joint moves in its robot, for lack of `--inertia-kg-m2`.

    Raises:
        SpecError: the actuator's file, or a number of the command line, is none.
        TraceError: the one test asked for cannot be run on this joint.
    """
    actuator = load_actuator(given.actuator) if given.actuator else JointPhysics()
    inertia = given.inertia_kg_m2 if given.inertia_kg_m2 is not None else inertia_kg_m2
    actuator = replace(
        actuator,
        inertia_kg_m2=actuator.inertia_kg_m2 if inertia is None else inertia,
        backlash_rad=actuator.backlash_rad if given.backlash_rad is None else given.backlash_rad,
    )
    joint = Joint(spec=spec, actuator=actuator, command_delay_s=given.delay_s)
    contradicted = 0
    for test in PROCEDURES if given.test == "all" else [given.test]:
        try:
            trace = run(test, joint)
            figures = evaluate(test, trace, joint)
        except TraceError as error:
            if given.test != "all":
                raise
            print(f"{test}\n  not run: {error}")
            continue
        _report(test, trace, figures, joint, given.out)
        contradicted += sum(each.agrees is False for each in figures if test in CHECKED)
    return 1 if contradicted else 0


def add_evaluate_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `evaluate_joint` takes."""
    parser.add_argument("trace", type=Path, metavar="CSV", help="recording of a real joint; docs/control.md says how")
    parser.add_argument("--test", choices=tuple(EVALUATIONS), required=True, help="which test was recorded")
    parser.add_argument("--inertia-kg-m2", type=float, help="friction: what was moved, if the CSV does not say")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write a PNG there")


def evaluate_joint(given: argparse.Namespace) -> int:
    """Print the figures of a recording. Raises TraceError."""
    trace = _read(given)
    figures = evaluate(given.test, trace)
    _print(given.test, figures)
    if given.out:
        given.out.mkdir(parents=True, exist_ok=True)
        draw(given.test, trace, figures, None, given.out / f"{given.test}.png")
    return 0


def add_identify_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `identify` takes."""
    parser.add_argument("what", choices=("friction", "thermal"))
    parser.add_argument("trace", type=Path, metavar="CSV", help="recording; docs/control.md says how")
    parser.add_argument("--inertia-kg-m2", type=float, help="friction: what was moved, if the CSV does not say")
    parser.add_argument("--model", choices=(*MODELS, "best"), default="best", help="friction: which model")
    parser.add_argument("--tau-max-nm", type=float, help="friction: torque that the model is to hold to")
    parser.add_argument("--dq-max-rad-s", type=float, help="friction: speed that the model is to hold to")
    parser.add_argument("--ambient-c", type=float, default=25.0, help="thermal: temperature around")
    parser.add_argument("--limit-c", type=float, default=120.0, help="thermal: where the winding may not go beyond")
    parser.add_argument("--derate-from-c", type=float, default=110.0, help="thermal: where torque begins to fall")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write a PNG, and a TOML for configs/actuators, there")


def identify(given: argparse.Namespace) -> int:
    """Identify friction or heat from a recording and print it.

    Raises:
        TraceError: the recording is none.
        NotExcitedError: it does not determine the model, or none of the models.
    """
    trace = _read(given)
    if given.out:
        given.out.mkdir(parents=True, exist_ok=True)
    return _identify_friction(trace, given) if given.what == "friction" else _identify_thermal(trace, given)


def _identify_friction(trace: Trace, given: argparse.Namespace) -> int:
    samples = friction_samples(trace)
    torque_nm = max(abs(samples.tau_motor_nm).max(), abs(samples.tau_external_nm).max())
    dq_max_rad_s = given.dq_max_rad_s or float(abs(samples.dq_rad_s).max())
    tau_max_nm = given.tau_max_nm or float(torque_nm)
    if given.model == "best":
        fits = select_friction(samples, dq_max_rad_s=dq_max_rad_s, tau_max_nm=tau_max_nm)
    else:
        fits = (fit_friction(samples, given.model, dq_max_rad_s=dq_max_rad_s, tau_max_nm=tau_max_nm),)
    for each in fits:
        left_open = f", does not determine {', '.join(each.open)}" if each.open else ""
        print(f"{each.model}: {each.rms_nm:.4g} N m left, BIC {each.bic:.0f}{left_open}")
    _print_estimates(fits[0].model, fits[0].estimates)
    if given.out:
        draw_friction(samples, fits, given.out / "friction-fit.png")
        _write_toml(given.out / "friction.toml", "friction", fits[0].estimates, f"{fits[0].model}, {given.trace.name}")
    return 0


def _identify_thermal(trace: Trace, given: argparse.Namespace) -> int:
    samples = thermal_samples(trace, ambient_c=given.ambient_c)
    two = fit_thermal(samples, limit_c=given.limit_c, derate_from_c=given.derate_from_c)
    one = fit_thermal(samples, limit_c=given.limit_c, derate_from_c=given.derate_from_c, nodes=1, strict=False)
    for each in (two, one):
        print(f"{each.nodes} node{'s' * (each.nodes > 1)}: {each.rms_k:.3g} K left, BIC {each.bic:.0f}")
    _print_estimates("two nodes", two.estimates)
    if given.out:
        draw_thermal(samples, (two, one), given.out / "thermal-fit.png")
        _write_toml(given.out / "thermal.toml", "thermal", two.estimates, given.trace.name)
    return 0


def _read(given: argparse.Namespace) -> Trace:
    trace = read_trace(given.trace)
    if given.inertia_kg_m2 is None:
        return trace
    return replace(trace, inertia_kg_m2=np.full(trace.run.shape, given.inertia_kg_m2))


def _report(test: str, trace: Trace, figures: Sequence[Figure], joint: Joint, out: Path | None) -> None:
    _print(test, figures)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        trace.write(out / f"{test}.csv")
        draw(test, trace, figures, joint, out / f"{test}.png")


def _print(test: str, figures: Sequence[Figure]) -> None:
    print(test)
    for each in figures:
        tidy = 0.0 if abs(each.value) < 1e-12 else each.value
        told, mark = "", ""
        if not math.isnan(each.expected):
            source = each.source if len(each.source) <= 60 else each.source[:57] + "..."
            told = f"  {'specified' if test in CHECKED else 'ideal'} {each.expected:.4g} ({source})"
        if test in CHECKED:
            mark = {True: "  ok     ", False: "  DIFFERS", None: ""}[each.agrees]
        print(f"  {each.name:32} {'not seen' if math.isnan(tidy) else f'{tidy:.4g}':>10}{mark}{told}")


def _print_estimates(model: str, estimates: Sequence[Estimate]) -> None:
    print(model)
    for each in estimates:
        print(f"  {each.name:32} {each.value:>12.5g} +- {each.half_width:.2g}")


def _write_toml(path: Path, table: str, estimates: Sequence[Estimate], source: str) -> None:
    lines = [f"[{table}]"]
    for each in estimates:
        told = f"identified from {source}: +- {each.half_width:.2g} (95 %)".replace("\\", "/").replace('"', "'")
        lines.append(f'{each.name} = {{ value = {each.value!r}, source = "{told}" }}')
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
