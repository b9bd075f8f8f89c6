"""What vendors used by month, read from the hours of the books and from what runs."""

from datetime import UTC, datetime

from palaestra.v1 import usage_pb2
from scheduler import names
from scheduler.health import VENUE_VENDOR
from scheduler.snapshot.use import RESOURCES
from scheduler.sql import Connection

HOUR_S = 3600
Key = tuple[str, str, str]


def month_of(now_ns: int) -> str:
    """Return the month of a moment, such as "2026-11", in UTC."""
    return datetime.fromtimestamp(now_ns // 1_000_000_000, UTC).strftime("%Y-%m")


def bounds_s(month: str) -> tuple[int, int]:
    """Return the first second of a month and of the next, since the epoch. Raises ValueError for what is no month."""
    first = datetime.strptime(month, "%Y-%m").replace(tzinfo=UTC)
    following = first.replace(year=first.year + first.month // 12, month=first.month % 12 + 1)
    return int(first.timestamp()), int(following.timestamp())


def month(db: Connection, month: str, now_ns: int, vendor: str | None) -> list[usage_pb2.MonthlyUsage]:
    """Return the books of a month by vendor, of one vendor alone if `vendor` is given. The venue itself has none."""
    start_s, end_s = bounds_s(month)
    amounts_ms = _ended(db, start_s, end_s, vendor)
    for key, used_ms in _running(db, start_s * 1000, end_s * 1000, now_ns, vendor):
        before, refund_ms = amounts_ms.get(key, (0, 0))
        amounts_ms[key] = (before + used_ms, refund_ms)
    found: dict[str, usage_pb2.MonthlyUsage] = {}
    for (name, resource, robot_class), (used_ms, refund_ms) in sorted(amounts_ms.items()):
        message = found.setdefault(name, usage_pb2.MonthlyUsage(vendor=names.vendor(name), month=month))
        line = usage_pb2.UsageLine(
            robot_class=robot_class,
            used_s=used_ms / 1000,
            refund_s=refund_ms / 1000,
            net_s=(used_ms - refund_ms) / 1000,
        )
        if resource == "unit":
            message.units.append(line)
        else:
            (message.sim_slots if resource == "slot" else message.cells).CopyFrom(line)
    return list(found.values())


def _ended(db: Connection, start_s: int, end_s: int, vendor: str | None) -> dict[Key, tuple[int, int]]:
    whose, value = ("vendor = ?", vendor) if vendor is not None else ("? = 1", 1)
    rows = db.execute(
        f"""
        SELECT vendor, resource, robot_class, sum(used_ms), sum(refund_ms) FROM usage_hour
        WHERE {whose} AND hour >= ? AND hour < ? GROUP BY 1, 2, 3
        """,
        (value, start_s // HOUR_S, end_s // HOUR_S),
    )
    return {(row[0], row[1], row[2]): (row[3], row[4]) for row in rows}


def _running(db: Connection, start_ms: int, end_ms: int, now_ns: int, vendor: str | None) -> list[tuple[Key, int]]:
    """Return what open leases used so far of each thing within the time."""
    whose, value = ("l.vendor = ?", vendor) if vendor is not None else ("l.vendor != ?", VENUE_VENDOR)
    found = []
    for resource in RESOURCES:
        unit = resource == "unit"
        rows = db.execute(
            f"""
            SELECT l.vendor, {"u.robot_class" if unit else "''"}, x.grant_ns, coalesce(x.free_ns, ?)
            FROM lease l JOIN lease_{resource} x ON x.lease_id = l.id {"JOIN unit u ON u.id = x.unit" if unit else ""}
            WHERE {whose} AND l.state IN (1, 2, 3, 5)
            """,
            (now_ns, value),
        )
        for name, robot_class, grant_ns, free_ns in rows:
            used_ms = min(free_ns // 1_000_000, end_ms) - max(grant_ns // 1_000_000, start_ms)
            if used_ms > 0:
                found.append(((name, resource, robot_class), used_ms))
    return found
