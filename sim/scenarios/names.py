"""The words of scenarios: sectors and environment levels.

Sectors and levels are those of the national initiative on shared training grounds for embodied intelligence, as the
project's brief gives them. Robot classes are the catalogue's; where ISO 8373:2021 has a word, it is that one: a *mobile
platform* (4.16) is our mobile base, a *legged robot* (4.16.2) a quadruped, biped or humanoid, a *manipulator* (4.14)
an arm, an *end effector* (4.12) the tool, and a *task program* (7.1) a scripted policy. Assumption: the numbers of the
clauses are from memory and were not looked up.
"""

SECTORS: dict[str, str] = {
    "manufacturing": "manufacturing",
    "inspection": "inspection and analysis",
    "maintenance": "maintenance",
    "warehousing": "warehousing and logistics",
    "catering": "catering and retail",
    "medical": "medical care and rehabilitation",
    "rescue": "emergency rescue",
    "prevention": "disaster prevention and mitigation",
}
"""Folder of a sector's scenarios, and its name."""

LEVELS: dict[int, str] = {
    1: "fixed: nothing differs from trial to trial",
    2: "structured: known objects at drawn poses",
    3: "open: drawn objects, light, friction and clutter as well",
    4: "dynamic: people, targets and pushes move as well",
}
