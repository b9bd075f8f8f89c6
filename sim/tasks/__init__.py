"""The tasks, one file each. `sim.task.tasks()` lists them."""
