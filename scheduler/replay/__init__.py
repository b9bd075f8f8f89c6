"""Logs of real clusters through the very `decide` that runs a venue, in virtual time."""
