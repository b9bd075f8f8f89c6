"""The policies that a replay compares, by name; `default` is a venue's."""

import math
from collections.abc import Mapping
from types import MappingProxyType

from scheduler.state import ALL, Backfill, Config, Order

VENUE = "default"
POLICIES: Mapping[str, Config] = MappingProxyType(
    {
        "fcfs": Config(0.0, 1, Backfill.NONE, math.inf, Order.SUBMIT),
        "easy": Config(0.0, 1, Backfill.QUEUE, math.inf, Order.SUBMIT),
        "conservative": Config(0.0, ALL, Backfill.QUEUE, math.inf, Order.SUBMIT),
        VENUE: Config(),
    }
)
