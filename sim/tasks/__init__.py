"""The tasks, one file each, and their registry."""

import difflib

from sim.catalog import Entry
from sim.errors import UnknownTask
from sim.task import Task
from sim.tasks.reach import Reach
from sim.tasks.stand import Stand
from sim.tasks.walk import Walk


def tasks() -> dict[str, Task]:
    """Return all tasks by name."""
    return {task.name: task for task in (Reach(), Stand(), Walk())}


def find_task(name: str) -> Task:
    """Return the task `name`. Raises UnknownTask with the closest names."""
    known = tasks()
    if name not in known:
        close = difflib.get_close_matches(name, known, n=2, cutoff=0.4) or sorted(known)
        raise UnknownTask(f"no task {name!r}; did you mean {', '.join(close)}?")
    return known[name]


def tasks_for(entry: Entry) -> list[Task]:
    """Return the tasks that suit a robot."""
    return [task for task in tasks().values() if entry.robot_class in task.robot_classes]
