"""One joint vocabulary over all bodies: what is written for it once, serves the robots of every maker.

`names` says which joints there are and how they count, `mapping` leads from a robot's joints there and back,
`geometry` checks by forward kinematics that a map is true, `recording` reads other people's recordings through such a
map, `figure` is a body of given proportions, `paths` compares where hands and feet go.
"""

from sim.vocabulary.geometry import problems
from sim.vocabulary.mapping import JointMap, joint_map
from sim.vocabulary.names import BODIES, Joint

__all__ = ["BODIES", "Joint", "JointMap", "joint_map", "problems"]
