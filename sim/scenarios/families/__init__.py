"""The families of tasks, and their registry."""

from sim.scenarios.families.family import Family, Field, Ref, Work
from sim.scenarios.families.follow import Follow
from sim.scenarios.families.insert import Insert
from sim.scenarios.families.inspect import Inspect, Patrol
from sim.scenarios.families.operate import Operate
from sim.scenarios.families.place import Place
from sim.scenarios.families.press import Hold, Wipe
from sim.scenarios.families.traverse import Traverse

FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (Operate(), Place(), Insert(), Inspect(), Wipe(), Hold(), Follow(), Traverse(), Patrol())
}

__all__ = ["FAMILIES", "Family", "Field", "Ref", "Work"]
