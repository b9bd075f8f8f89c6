"""The books by month: what a vendor used, what it got back, and nothing of anybody else's."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from palaestra.errors import PalaestraError
from palaestra.rules import check
from palaestra.v1 import job_pb2, usage_pb2, venue_service_pb2, venue_service_pb2_grpc
from scheduler import books
from tests.scheduler.site import FakeClock, LiveServer, Site, error_of, job, play

# Three minutes before a month ends.
EVE_NS = int(datetime(2026, 11, 30, 23, 57, tzinfo=UTC).timestamp()) * 1_000_000_000


def lines(found: list[usage_pb2.MonthlyUsage]) -> dict[str, list[tuple[str, float, float, float]]]:
    return {
        each.vendor: [
            (line.robot_class or kind, line.used_s, line.refund_s, line.net_s)
            for kind, line in (*(("unit", u) for u in each.units), ("slot", each.sim_slots), ("cell", each.cells))
            if line.used_s
        ]
        for each in found
    }


@pytest.mark.parametrize(("month", "days"), [("2026-11", 30), ("2026-12", 31), ("2028-02", 29)])
def test_a_month_has_its_days(month: str, days: int) -> None:
    start_s, end_s = books.bounds_s(month)

    assert end_s - start_s == days * 86_400
    assert books.month_of(start_s * 10**9) == month == books.month_of(end_s * 10**9 - 1)


def test_use_falls_into_the_months_in_which_it_was(tmp_path: Path) -> None:
    async def scene() -> None:
        async with Site(tmp_path, FakeClock(EVE_NS)) as site:
            await site.connect()
            body = await site.submit(job(2, 1, cell="assembly"))
            await site.settle()
            attempt = await site.start(body)
            site.clock.pass_s(240.0)
            now_ns = site.clock.now_ns()
            november = {"vendors/acme": [("arm", 360, 0, 360), ("slot", 180, 0, 180), ("cell", 180, 0, 180)]}
            december = {"vendors/acme": [("arm", 120, 0, 120), ("slot", 60, 0, 60), ("cell", 60, 0, 60)]}
            read = site.core.read
            assert lines(books.month(read, "2026-11", now_ns, None)) == november, "what runs is counted to now"
            assert lines(books.month(read, "2026-12", now_ns, "acme")) == december
            await site.beat(attempt)
            failure = job_pb2.Failure(reason="RUNNER_LOST", message="m", retryable=False)
            await site.finish(attempt, job_pb2.ATTEMPT_STATE_LOST, failure=failure)
            for unit in ("arm-1", "arm-2"):
                await site.status(unit, safe_epoch=1)
            refunded = {"vendors/acme": [("arm", 360, 360, 0), ("slot", 180, 180, 0), ("cell", 180, 180, 0)]}
            assert lines(books.month(read, "2026-11", now_ns, "acme")) == refunded
            assert books.month(read, "2026-10", now_ns, "acme") == []
            assert books.month(read, "2026-11", now_ns, "rival") == []

    import asyncio

    asyncio.run(scene())


def test_a_vendor_reads_its_own_books_only(tmp_path: Path) -> None:
    with LiveServer(tmp_path) as server:
        stub = venue_service_pb2_grpc.VenueServiceStub(server.channel)  # type: ignore[no-untyped-call]
        month = books.month_of(server.core.clock.now_ns())

        def used(tx: object) -> None:
            for vendor, ms in (("acme", 7_000), ("rival", 9_000)):
                hour = books.bounds_s(month)[0] // 3600
                tx.db.execute(  # type: ignore[attr-defined]
                    "INSERT INTO usage_hour VALUES (?, ?, ?, 'slot', '', ?, 0)", (vendor, vendor, hour, ms)
                )

        server.run(used)

        def ask(who: str, vendor: str, month: str = "") -> venue_service_pb2.ListUsageResponse:
            request = venue_service_pb2.ListUsageRequest(parent=f"vendors/{vendor}", month=month)
            answer: venue_service_pb2.ListUsageResponse = stub.ListUsage(
                request, timeout=30, metadata=server.metadata(who)
            )
            return answer

        mine = lines(list(ask("vendor-acme", "acme").months))
        assert mine == {"vendors/acme": [("slot", 7.0, 0.0, 7.0)]}
        assert lines(list(ask("vendor-acme", "acme", month).months)) == mine
        everybody = lines(list(ask("operator", "-").months))
        assert list(everybody) == ["vendors/acme", "vendors/rival"]
        assert error_of(ask, "vendor-acme", "rival").reason == "NOT_FOUND"
        assert error_of(ask, "vendor-acme", "acme", "2026-13").reason == "INVALID_FIELD"


@pytest.mark.parametrize("month", ["2026", "2026-00", "2026-13", "26-01", "0000-01", "2026-1", "november"])
def test_what_is_no_month_is_refused(month: str) -> None:
    with pytest.raises(PalaestraError, match="month"):
        check(venue_service_pb2.ListUsageRequest(parent="vendors/acme", month=month))


def test_the_share_now_is_the_vendors_with_all_its_projects(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        from scheduler.services.venue import VenueService

        await site.connect()
        await site.submit(job(1, project="legs"))
        await site.submit(job(1))
        await site.settle()
        usages = VenueService(site.core)._usage()
        assert [usage.vendor for usage in usages] == ["vendors/acme", "vendors/rival", "vendors/third"]
        assert usages[0].dominant_share == pytest.approx(2 / 3)

    play(tmp_path, scene, project=[{"id": "legs", "vendor": "acme"}])
