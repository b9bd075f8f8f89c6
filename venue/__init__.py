"""One venue on one machine: starts, watches and stops its processes; the demo."""
