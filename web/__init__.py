"""What every process that speaks HTTP has in common: how it listens, what it bounds, and how it refuses.

`api` and `sharing` stand on it; it knows neither.
"""
