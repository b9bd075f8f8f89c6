"""Whether two versions of MuJoCo move the same robots to the same bits, and if not, how their ways part.

One version records (`record.py`), another one does the same, and both files are compared (`compare.py`): nothing else
crosses between the two, so that each has an interpreter of its own.
"""
