"""`palaestra check`: whether a file of a robot, a venue or a job is right, and if not, in which line and why.

`schema` says what a file may look like (the same schemas serve editors), `lines` knows where a field stands, `robot`,
`venue`, `job` and `model` look at what only the things themselves can tell.
"""

from sim.check.files import check_path
from sim.check.finding import Finding

__all__ = ["Finding", "check_path"]
