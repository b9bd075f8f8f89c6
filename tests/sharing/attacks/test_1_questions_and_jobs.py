"""D6, 1: questions, budgets, algorithms and jobs, with another vendor's names. Made from the routes themselves."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import APIRoute

from sharing.aggregate import routes as aggregate
from sharing.compute import routes as compute
from sharing.compute.algorithm import Approvals, built_in
from sharing.compute.jobs import Job, Jobs
from sharing.grant import Ask
from sharing.problem import NOT_SHARED
from sharing.terms import Channel, Purpose
from tests.sharing.stage import AURORA, BOREALIS, Stage, stage

QUESTION = {"measures": [{"of": "count"}]}
ROWS = {
    ("POST", "/sharing/v1/aggregates"): "hidden",
    ("GET", "/sharing/v1/budgets/{agreement}"): "hidden",
    ("GET", "/sharing/v1/budgets"): "own",
    ("GET", "/sharing/v1/algorithms"): "own",
    ("POST", "/sharing/v1/algorithms"): "self",
    ("POST", "/sharing/v1/algorithms/{sha256}:withdraw"): "hidden",
    ("POST", "/sharing/v1/jobs"): "hidden",
    ("GET", "/sharing/v1/jobs"): "own",
    ("GET", "/sharing/v1/jobs/{name}"): "hidden",
    ("POST", "/sharing/v1/jobs/{name}:cancel"): "hidden",
    ("GET", "/sharing/v1/jobs/{name}/result"): "hidden",
}


@pytest.fixture
def busy(tmp_path: Path) -> Iterator[tuple[Stage, dict[str, str]]]:
    """A room in which borealis has a job with aurora's data, and the names of everything."""
    staged = stage(tmp_path)
    agreement = staged.agree(channels=("aggregate", "compute"), privacy_millionths=1_000_000)
    room = staged.room
    algorithm = built_in()["statistics"]
    Approvals(room.database, room.witness, room.clock.now_s).approve(AURORA, algorithm)
    grant = room.gate.authorize(Ask(BOREALIS, agreement.digest, Channel.COMPUTE, Purpose.TRAINING))
    job = Jobs(room.database, room.witness, room.clock.now_s).add(grant, 1, algorithm.sha256, {})
    yield staged, {"agreement": agreement.digest, "sha256": algorithm.sha256, "name": job.id}
    staged.close()


def requests(names: dict[str, str]) -> Iterator[tuple[tuple[str, str], tuple[str, str, Any]]]:
    """Yield (route, request) for the routes that hide."""
    bodies = {
        "/sharing/v1/aggregates": {"agreement": names["agreement"], "question": QUESTION},
        "/sharing/v1/jobs": {"agreement": names["agreement"], "algorithm": names["sha256"]},
    }
    for (verb, path), what in ROWS.items():
        if what == "hidden":
            filled = re.sub(r"{(\w+)}", lambda match: names[match[1]], path)
            yield (verb, path), (verb, filled, bodies.get(path))


def test_every_route_has_a_row(busy: tuple[Stage, dict[str, str]]) -> None:
    """A new route without a row fails here."""
    staged, _ = busy
    found = set()
    for router in (aggregate.router, compute.router):
        for route in router(staged.room).routes:
            assert isinstance(route, APIRoute)
            found |= {(verb, route.path) for verb in route.methods}
    assert found == set(ROWS)


def test_anothers_name_is_answered_as_one_that_is_nobodys(busy: tuple[Stage, dict[str, str]]) -> None:
    """Byte for byte, headers included."""
    staged, names = busy
    nobodys = {"agreement": "0" * 64, "sha256": "0" * 64, "name": "0" * 32}
    client = staged.as_("cygnus")
    missing = dict(requests(nobodys))
    for route, (verb, path, body) in requests(names):
        answers = [client.request(verb, path, json=body)]
        verb, path, body = missing[route]
        answers.append(client.request(verb, path, json=body))
        assert [answer.status_code for answer in answers] == [404, 404], route
        assert answers[0].content == answers[1].content == NOT_SHARED, route
        assert dict(answers[0].headers) == dict(answers[1].headers), route


def test_lists_tell_a_third_vendor_nothing(busy: tuple[Stage, dict[str, str]]) -> None:
    """Nor does a token that is nobody's get anywhere."""
    staged, names = busy
    third, stolen = staged.as_("cygnus"), staged.as_("stolen")
    for (verb, path), what in ROWS.items():
        filled = re.sub(r"{(\w+)}", lambda match: names[match[1]], path)
        assert stolen.request(verb, filled, json=None if verb == "GET" else {}).status_code == 401
        if what == "own":
            text = third.request(verb, filled).text
            assert "aurora" not in text
            assert "borealis" not in text


def test_a_provider_has_no_result_of_its_consumers(busy: tuple[Stage, dict[str, str]]) -> None:
    """It sees that a job visited, and gets nothing of what it made; nor can it end it."""
    staged, names = busy
    provider = staged.as_("aurora")
    assert provider.get(f"/sharing/v1/jobs/{names['name']}").json()["consumer"] == BOREALIS
    assert provider.get(f"/sharing/v1/jobs/{names['name']}/result").content == NOT_SHARED
    assert provider.post(f"/sharing/v1/jobs/{names['name']}:cancel").content == NOT_SHARED


def test_mutant_without_the_look_at_whose_a_job_is_it_is_told(
    busy: tuple[Stage, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guard is the comparison with the job's two sides."""
    staged, names = busy
    honest = Jobs.get

    def anybodys(self: Jobs, job: str) -> Job | None:
        from dataclasses import replace

        found = honest(self, job)
        return None if found is None else replace(found, consumer="vendors/cygnus")

    monkeypatch.setattr(Jobs, "get", anybodys)
    assert staged.as_("cygnus").get(f"/sharing/v1/jobs/{names['name']}").json()["provider"] == AURORA
