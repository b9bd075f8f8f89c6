"""The console and the plain pages in a real browser.

Skipped where Debian's chromium is missing, and, for the console, where it is not built (`make console`).
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from api.settings import Settings
from palaestra.v1 import job_pb2

CHROMIUM = Path("/usr/bin/chromium")
BUILT = Path(__file__).parents[2] / "api" / "static" / "console"
ARGUMENTS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(120),
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"{CHROMIUM} is not installed"),
]
needs_console = pytest.mark.skipif(not (BUILT / "index.html").exists(), reason="the console is not built")


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, console=BUILT)


@pytest.fixture
def stage(new_stage: Any) -> Any:
    return new_stage


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as tool:
        started = tool.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield started
        started.close()


class Page:
    """A page and what went wrong on it."""

    def __init__(self, chromium: Any) -> None:
        self.at = chromium.new_page(viewport={"width": 1366, "height": 768})
        self.at.set_default_timeout(20_000)
        self.wrong: list[str] = []
        self.at.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.at.on("console", lambda line: self.wrong.append(line.text) if line.type == "error" else None)
        self.foreign: list[str] = []

    def log_in(self, url: str, token: str) -> None:
        self.at.on("request", lambda sent: None if sent.url.startswith(url) else self.foreign.append(sent.url))
        self.at.goto(url)
        self.at.get_by_label("Token").fill(token)
        self.at.get_by_role("button", name="Log in").click()
        self.at.get_by_text("Log out").first.wait_for()


@pytest.fixture
def page(chromium: Any) -> Iterator[Page]:
    found = Page(chromium)
    yield found
    found.at.close()


def put_job(stage: Any, state: Any, *, name: str = "walk", fraction: float = 0.0) -> None:
    job = job_pb2.Job(name=f"vendors/acme/jobs/{name}", display_name=f"Job {name}", state=state)
    job.create_time.GetCurrentTime()
    job.progress.fraction = fraction
    job.train.task = "reach"

    def put(known: Any) -> None:
        job.sequence = known.sequence + 1
        known.put_job(job)
        known.logs.setdefault(job.name, []).append(f"at {fraction}")

    stage.do(put)


@needs_console
def test_a_vendor_logs_in_sees_the_map_watches_a_job_and_cancels_it(stage: Any, page: Page) -> None:
    """The whole way of a visitor, live, with no error on the browser's console and no request to elsewhere."""
    page.log_in(stage.url, "acme-token")
    page.at.get_by_role("button", name=re.compile("^humanoid-0, own_humanoid, idle")).wait_for()
    assert page.at.locator("svg g.unit").count() == 6
    assert page.at.locator("svg g.cell").count() == 3

    page.at.get_by_role("link", name="Jobs", exact=True).click()
    page.at.get_by_text("No jobs yet").wait_for()
    put_job(stage, job_pb2.JOB_STATE_QUEUED)
    page.at.get_by_role("row", name=re.compile("Job walk.*queued")).wait_for()
    put_job(stage, job_pb2.JOB_STATE_RUNNING, fraction=0.42)
    page.at.get_by_role("row", name=re.compile("Job walk.*running.*42 %")).wait_for()

    page.at.get_by_role("link", name="Job walk").click()
    page.at.get_by_role("log").get_by_text("at 0.42").wait_for()
    page.at.get_by_role("button", name="Cancel job").click()
    page.at.get_by_role("alertdialog").get_by_role("button", name="Cancel job").click()
    page.at.locator(".head .chip.cancelled").wait_for()
    assert stage.scheduler.state.jobs["vendors/acme/jobs/walk"].state == job_pb2.JOB_STATE_CANCELLED

    for title in ("Episodes", "Usage", "Venue"):
        page.at.get_by_role("link", name=title, exact=True).click()
        page.at.locator(f'nav a[aria-current="page"]:has-text("{title}")').wait_for()
    assert page.wrong == []
    assert page.foreign == []


@needs_console
def test_only_operators_get_a_stop_button_and_it_asks_first(stage: Any, page: Page) -> None:
    page.log_in(stage.url, "operator-token")
    page.at.get_by_role("button", name=re.compile("^arm-2,")).click()
    page.at.get_by_text("Not a safety-rated emergency stop.").wait_for()
    page.at.get_by_role("button", name="Protective stop").click()
    assert "venues/hall/units/arm-2" in stage.scheduler.state.units
    assert stage.scheduler.state.units["venues/hall/units/arm-2"].fault == ""

    page.at.get_by_role("button", name="Stop it").click()

    page.at.get_by_role("button", name=re.compile("^arm-2,.*stopped")).wait_for()
    page.at.get_by_role("button", name="Reset").click()
    page.at.get_by_role("alertdialog").get_by_role("button", name="Reset").click()
    page.at.get_by_role("button", name=re.compile("^arm-2,.*idle")).wait_for()
    assert page.wrong == []


@needs_console
def test_a_cut_stream_is_shown_and_resumed_without_a_missing_job(stage: Any, page: Page) -> None:
    """The scheduler goes away and comes back; what happened meanwhile appears by itself."""
    page.log_in(stage.url, "acme-token")
    page.at.get_by_role("link", name="Jobs", exact=True).click()
    page.at.get_by_text("Live", exact=True).wait_for()

    stage.stop_scheduler()
    page.at.get_by_text("Scheduler lost, trying again").wait_for()
    for number in range(5):
        put_job(stage, job_pb2.JOB_STATE_QUEUED, name=f"missed-{number}")
    stage.start_scheduler()

    for number in range(5):
        page.at.get_by_role("row", name=re.compile(f"Job missed-{number}")).wait_for()
    page.at.get_by_text("Live", exact=True).wait_for()


@needs_console
def test_after_logging_out_nothing_is_left_on_the_page(stage: Any, page: Page) -> None:
    page.log_in(stage.url, "acme-token")
    page.at.get_by_role("button", name="Log out").click()

    page.at.get_by_label("Token").wait_for()
    assert page.at.locator("svg g.unit").count() == 0
    page.at.reload()
    page.at.get_by_label("Token").wait_for()


def test_the_plain_pages_work_with_scripts_switched_off(stage: Any, chromium: Any) -> None:
    """Log in by form, look, cancel, log out: browsers send the origin that the check wants."""
    put_job(stage, job_pb2.JOB_STATE_RUNNING)
    context = chromium.new_context(java_script_enabled=False)
    at = context.new_page()
    at.set_default_timeout(20_000)
    at.goto(f"{stage.url}/ui/lite")
    at.get_by_label("Token").fill("acme-token")
    at.get_by_role("button", name="Log in").click()
    at.get_by_role("heading", name="Hall North").wait_for()

    at.get_by_role("link", name="Job walk").click()
    at.get_by_role("button", name="Cancel job").click()
    at.locator("h1 .state.cancelled").wait_for()
    at.get_by_role("button", name="Log out").click()
    at.get_by_label("Token").wait_for()
    context.close()
