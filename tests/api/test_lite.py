"""The pages without script."""

import re
from typing import Any

import httpx
import pytest

from api import view
from palaestra.v1 import job_pb2

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"


@pytest.fixture
def browser(stage: Any) -> httpx.Client:
    client: httpx.Client = stage.client()
    client.post("/login", data={"token": "acme-token"})
    client.headers["origin"] = stage.url
    return client


def put_hostile_job(stage: Any) -> str:
    job = job_pb2.Job(name="vendors/acme/jobs/j-1", display_name=HOSTILE, state=job_pb2.JOB_STATE_RUNNING)
    job.train.task = "reach"
    job.progress.message = HOSTILE
    job.failure.message = HOSTILE
    job.result.return_curve.extend([1.0, 3.0, 2.0])
    job.attempts.add(number=1, resources=[HOSTILE]).failure.message = HOSTILE

    def put(state: Any) -> None:
        state.put_job(job)
        state.logs[job.name] = [HOSTILE]
        state.units["venues/hall/units/arm-2"].fault = HOSTILE
        state.cells[0].display_name = HOSTILE

    stage.do(put)
    return "/ui/lite/jobs/acme/j-1"


@pytest.mark.parametrize("path", ["/ui/lite", "/ui/lite/jobs", "/ui/lite/episodes", "/ui/lite/jobs/acme/j-1"])
def test_a_stranger_is_sent_to_the_login(stage: Any, path: str) -> None:
    response = stage.client().get(path)

    assert (response.status_code, response.headers["location"]) == (303, "/login?next=/ui/lite")


def test_the_map_and_the_table_show_every_unit_and_cell(browser: httpx.Client) -> None:
    page = browser.get("/ui/lite").text

    for name in ("humanoid-0", "quadruped-4", "arm-5", "Bin picking", "Patrol", "Shelf", "Hall North"):
        assert name in page
    assert page.count('<g class="unit') == 6


def test_hostile_names_stay_text_on_every_page(stage: Any, browser: httpx.Client) -> None:
    path = put_hostile_job(stage)

    for page in ("/ui/lite", "/ui/lite/jobs", path):
        text = browser.get(page).text
        assert "alert(1)" in text
        assert "<script" not in text
        assert "<img src=x" not in text
        assert re.search(r"\son\w+=", re.sub(r"&[^;]+;[^<>]*", "", text)) is None


def test_a_job_page_explains_shows_its_log_and_cancels(stage: Any, browser: httpx.Client) -> None:
    path = put_hostile_job(stage)
    text = browser.get(path).text
    assert "It waits for units." in text
    assert "<polyline" in text

    assert browser.post(f"{path}/cancel").headers["location"] == path
    assert "cancelled" in browser.get(path).text


def test_a_cancel_from_elsewhere_is_refused(stage: Any, browser: httpx.Client) -> None:
    path = put_hostile_job(stage)

    assert browser.post(f"{path}/cancel", headers={"origin": "https://evil.example"}).status_code == 403
    assert stage.scheduler.state.jobs["vendors/acme/jobs/j-1"].state == job_pb2.JOB_STATE_RUNNING


def test_without_a_built_console_the_root_is_the_lite_page_with_a_notice(browser: httpx.Client) -> None:
    response = browser.get("/", follow_redirects=True)

    assert response.url.path == "/ui/lite"
    assert "make console" in response.text


def test_a_built_console_is_served_and_its_files_are_kept(stage: Any) -> None:
    assets = stage.settings.console / "assets"
    assets.mkdir(parents=True)
    (stage.settings.console / "index.html").write_text("<!doctype html>the console")
    (assets / "index-abc123.js").write_text("1")

    page = stage.client().get("/")
    file = stage.client().get("/assets/index-abc123.js")

    assert (page.text, page.headers["cache-control"]) == ("<!doctype html>the console", "no-cache")
    assert "immutable" in file.headers["cache-control"]
    assert stage.client().get("/assets/%2e%2e/index.html").status_code == 404


def test_when_the_scheduler_is_gone_the_page_says_so(stage: Any, browser: httpx.Client) -> None:
    stage.stop_scheduler()

    response = browser.get("/ui/lite")

    assert response.status_code == 503
    assert "SHUTTING_DOWN" in response.text


@pytest.mark.parametrize(
    ("duration_s", "text"),
    [
        (-1, "0.0 s"),
        (0.42, "0.4 s"),
        (12.4, "12 s"),
        (59.7, "1 min 00 s"),
        (185, "3 min 05 s"),
        (7800, "2 h 10 min"),
    ],
)
def test_durations_are_for_people(duration_s: float, text: str) -> None:
    assert view.length(duration_s) == text


def test_a_curve_fills_its_box_and_a_flat_one_divides_by_nothing() -> None:
    assert view.curve_points([1.0, 3.0, 2.0], width=10, height=4) == "0.0,4.0 5.0,0.0 10.0,2.0"
    assert view.curve_points([2.0, 2.0], width=10, height=4) == "0.0,4.0 10.0,4.0"
    assert view.curve_points([2.0], width=10, height=4) == ""
