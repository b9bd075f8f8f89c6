"""Answers about a data set without its data: aggregates with differential privacy, paid from a budget."""
