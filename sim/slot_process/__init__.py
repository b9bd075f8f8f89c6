"""A sim slot as a process of its own: whoever holds the lease drives it over shared memory, others over gRPC.

`LeasedSlot.open` starts the process, `sim.slot_process.serve` is what runs in it, `SlotServer` lets remote clients in.
"""

from sim.slot_process.leased import LeasedSlot
from sim.slot_process.work import Bounds, ModelWork, Pace, ScenarioWork, SlotFacts, SlotSpec, TaskWork

__all__ = ["Bounds", "LeasedSlot", "ModelWork", "Pace", "ScenarioWork", "SlotFacts", "SlotSpec", "TaskWork"]
