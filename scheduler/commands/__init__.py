"""Commands: the only code that changes the venue's truth. Each runs inside the writer's transaction."""
