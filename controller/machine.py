"""What the operating system says about timing on this machine. Linux tells most; elsewhere it is "unknown"."""

import os
import platform
from dataclasses import dataclass
from pathlib import Path

UNKNOWN = "unknown"

_CPU = Path("/sys/devices/system/cpu")


@dataclass(frozen=True)
class Machine:
    """Facts that bound how late a loop can be.

    Attributes:
        system: Kernel name and release.
        preemption: "PREEMPT_RT", "PREEMPT_DYNAMIC (full)", ...: who can be interrupted in the kernel.
        virtual: Whether a hypervisor is below, which may take the processor away at any time.
        cores: Processors that this process may run on.
        isolated: Processors kept free of other work by `isolcpus`.
        clock_source: What the kernel reads the time from.
        governor: How the clock rate of the processor is chosen.
        timer_slack_ns: How much later the kernel may wake an ordinary thread.
        rt_runtime: Share of a period that realtime threads may have, "950000 of 1000000 us".
        rt_priority_limit, locked_memory_limit: Resource limits, for a process without privileges.
    """

    system: str
    preemption: str
    virtual: str
    cores: int
    isolated: str
    clock_source: str
    governor: str
    timer_slack_ns: str
    rt_runtime: str
    rt_priority_limit: str
    locked_memory_limit: str


def look() -> Machine:
    """Ask the system. Never raises."""
    runtime, period = (_read(Path(f"/proc/sys/kernel/sched_rt_{name}_us")) for name in ("runtime", "period"))
    return Machine(
        system=f"{platform.system()} {platform.release()}",
        preemption=_preemption(),
        virtual=_virtual(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        isolated=_read(_CPU / "isolated", empty="none"),
        clock_source=_read(Path("/sys/devices/system/clocksource/clocksource0/current_clocksource")),
        governor=_read(_CPU / "cpu0/cpufreq/scaling_governor"),
        timer_slack_ns=_read(Path("/proc/self/timerslack_ns")),
        rt_runtime=UNKNOWN if UNKNOWN in (runtime, period) else f"{runtime} of {period} us",
        rt_priority_limit=_limit("RLIMIT_RTPRIO"),
        locked_memory_limit=_limit("RLIMIT_MEMLOCK"),
    )


def stolen_s() -> float | None:
    """Return how long the hypervisor has run others on our processors since the start; None if nobody tells."""
    fields = _read(Path("/proc/stat")).split("\n", 1)[0].split()
    if len(fields) < 9 or fields[0] != "cpu":
        return None
    return int(fields[8]) / os.sysconf("SC_CLK_TCK")


def _preemption() -> str:
    if _read(Path("/sys/kernel/realtime")) == "1":
        return "PREEMPT_RT"
    words = [word for word in platform.version().split() if word.startswith("PREEMPT")]
    model = words[0] if words else "none or voluntary" if platform.system() == "Linux" else UNKNOWN
    # "none voluntary (full) lazy": the one in use stands in parentheses. Root only.
    modes = _read(Path("/sys/kernel/debug/sched/preempt"))
    mode = modes.partition("(")[2].partition(")")[0]
    return f"{model} ({mode})" if mode else model


def _virtual() -> str:
    flags = _read(Path("/proc/cpuinfo"))
    if flags == UNKNOWN or platform.machine().lower() not in ("x86_64", "amd64", "i686"):
        return UNKNOWN
    return "yes" if " hypervisor" in flags else "no"


def _read(path: Path, *, empty: str = UNKNOWN) -> str:
    try:
        return path.read_text(encoding="utf-8").strip() or empty
    except OSError:
        return UNKNOWN


def _limit(name: str) -> str:
    try:
        import resource

        soft = resource.getrlimit(getattr(resource, name))[0]
    except (ImportError, AttributeError):
        return UNKNOWN
    return "unlimited" if soft == resource.RLIM_INFINITY else str(soft)
