"""Venues as data: their zones, safety zones, doors and chargers, their floor plan, a whole city of them.

`polygon` is the geometry, `areas` what lies on the floor beside cells and units, `plan` draws it, `worlds` splits a
venue into one scene for each cell and tells what a shared scene changes, `city` makes up venues of any size, `document`
writes them down, `command` is `python -m sim venues`.
"""
