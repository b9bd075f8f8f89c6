"""Processes that see a projection and nothing else: no network, no files, no other process, and an end."""
