"""The simulation room: robots, worlds and venues in MuJoCo.

A robot is an `Entry` of the catalogue (`sim/catalog.py`). It trains in the worlds of a `SimSlot` (`sim/slot.py`) at a
`Task` (`sim/task.py`, `sim/tasks/`), it is driven as an `EmulatedUnit` (`sim/unit.py`) by a unit host (`sim/host.py`),
it goes through a `Motion` (`sim/motion.py`), and it stands in a `VenueTwin` (`sim/venue.py`). In all of them the joints
are driven by the torques of the control core. MJCF from outside enters through `sim/mjcf.py` alone.
"""
