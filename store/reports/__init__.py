"""A report of a data set: what the catalogue knows of every episode, and what signals show in a sample of them."""

from store.reports.facts import Tally, read_facts
from store.reports.page import write_report
from store.reports.sample import Sample, choose

__all__ = ["Sample", "Tally", "choose", "read_facts", "write_report"]
