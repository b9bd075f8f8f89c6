"""The review queue over REST and in the console, with the real scheduler and catalogue behind it."""

import asyncio
import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from matplotlib.image import imread
from typer.testing import CliRunner

from api.__main__ import server
from api.binding import BINDINGS
from api.upstream import Upstream
from catalogue import Catalogue, opinion
from catalogue.catalogue import Change
from catalogue.entry import entry_of
from palaestra.cli.data import data
from palaestra.client import Client
from palaestra.v1 import episode_pb2
from store import LocalObjects
from tests.api.conftest import settings_in, wait_for
from tests.api.test_browser import ARGUMENTS, BUILT, CHROMIUM
from tests.api.test_content import record
from tests.scheduler.site import PATIENCE_S, LiveServer
from web.listening import listen

PAGE = Path(__file__).parents[2] / "console" / "src" / "pages" / "Review.svelte"


@dataclass
class Place:
    """A venue with an api, and what its vendors may show."""

    url: str
    live: LiveServer

    def client(self, who: str) -> httpx.Client:
        headers = {"authorization": f"Bearer {self.live.token(who)}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=PATIENCE_S)


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow this machine is just now."""
    monkeypatch.setattr("api.picture.PATIENCE_S", 600.0)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Two sealed episodes of acme's and one of rival's wait for a person."""
    folder = tmp_path_factory.mktemp("review")
    (folder / "objects").mkdir()
    with LiveServer(folder) as live:
        settings = replace(settings_in(folder), scheduler=live.address, console=BUILT, call_timeout_s=PATIENCE_S)
        listening = listen(settings)
        settings = replace(settings, port=listening.getsockname()[1])
        serving = server(settings)
        served = threading.Thread(target=serving.run, kwargs={"sockets": [listening]}, daemon=True)
        served.start()
        wait_for(lambda: serving.started, "the api starts")
        found = Place(f"http://127.0.0.1:{settings.port}", live)
        with found.client("vendor-acme") as acme:
            assert acme.get("/v1/vendors/acme/reviews:figures").json() == {}  # the catalogue is there
        fill(folder)
        yield found
        serving.should_exit = True
        served.join(PATIENCE_S)


def fill(folder: Path) -> None:
    catalogue = Catalogue(folder / "catalogue.db", forward=False)
    entries, changes = [], {}
    for number, vendor in ((1, "acme"), (2, "acme"), (3, "rival")):
        message = episode_pb2.Episode(
            name=f"vendors/{vendor}/episodes/e-{number}",
            job=f"vendors/{vendor}/imports/i",
            attempt=f"vendors/{vendor}/imports/i/attempts/1",
            robot_model="own_arm",
            task=f"look {number}",
            duration_s=0.5,
            rows=50,
        )
        message.content.sha256 = record(LocalObjects(folder / "objects"), folder / "spool", number)
        entries.append(entry_of(message.SerializeToString()))
        labels = {"review": "open", "fault.gap": "1"}
        changes[f"e-{number}"] = Change(labels, (), number / 10, {"timing": 0.2}, "palaestra-quality/3")
    catalogue.add(entries)
    catalogue.score(changes, by="venue", now_ns=1)
    catalogue.close()


def names(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [one["record"]["episode"]["name"] for one in answer.json().get("reviews", [])]


def test_every_route_reaches_a_method_of_the_scheduler() -> None:
    """A service that the table names and the api has no stub of would be a defect at the first call."""

    async def reached() -> None:
        upstream = Upstream("127.0.0.1:1", timeout_s=1.0)
        for binding in BINDINGS:
            assert callable(upstream.method(binding.rpc)), binding.rpc
        await upstream.close()

    asyncio.run(reached())


def test_the_catalogue_answers_over_rest(place: Place) -> None:
    """Search and a record, with the labels."""
    with place.client("vendor-acme") as acme:
        found = acme.post("/v1/vendors/acme/records:search", json={"query": {"labels": ["fault.gap"]}}).json()
        assert len(found["records"]) == 2
        assert acme.get("/v1/vendors/acme/records/e-2").json()["quality"] == 0.2


def test_the_command_line_fetches_the_picture(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an imported episode, which the catalogue alone knows; with the episode's bytes as they are."""
    monkeypatch.setenv("PALAESTRA_ADDRESS", place.live.address)
    monkeypatch.setenv("PALAESTRA_API_URL", place.url)
    monkeypatch.setenv("PALAESTRA_TOKEN", place.live.token("vendor-acme"))
    out = tmp_path / "out.png"

    said = CliRunner().invoke(data, ["review", "show", "e-1", "--picture", str(out)])

    assert said.exit_code == 0, said.output
    assert imread(out).shape[1] > 500
    with place.client("vendor-acme") as acme, place.client("vendor-rival") as rival:
        assert acme.get("/v1/vendors/acme/episodes/e-1/content").content[:4] == b"PAR1"
        for path in ("picture", "content"):
            mine, none = (rival.get(f"/v1/vendors/acme/episodes/{uid}/{path}") for uid in ("e-1", "e-9"))
            assert mine.status_code == none.status_code == 404
            assert mine.text.replace("e-1", "e-9") == none.text
            with place.client("operator") as house:
                assert house.get(f"/v1/vendors/acme/episodes/e-1/{path}").status_code == 404


def test_a_report_is_made_of_a_versions_facts_and_of_episodes_that_the_venue_sends(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest version by the data set's name alone."""
    monkeypatch.setenv("PALAESTRA_ADDRESS", place.live.address)
    monkeypatch.setenv("PALAESTRA_API_URL", place.url)
    monkeypatch.setenv("PALAESTRA_TOKEN", place.live.token("vendor-acme"))
    with Client(place.live.address, place.live.token("vendor-acme"), timeout_s=PATIENCE_S) as client:
        client.data.create_dataset("looked-at")
        version = client.data.freeze("looked-at", episodes=["e-2", "e-1"])

    said = CliRunner().invoke(data, ["report", "looked-at", "--out", str(tmp_path / "out"), "--json"])

    assert said.exit_code == 0, said.output
    told = json.loads(said.stdout)
    assert (told["episodes"], told["sampled"]) == (2, 2)
    assert told["record"]["input_sha256"] == version.manifest_sha256
    figures = json.loads((tmp_path / "out" / "report.json").read_text())
    assert figures["facts"]["counts"]["fault"] == {"gap": 2}
    assert list(figures["sample"]["coverage"]) == ["own_arm"]
    assert version.name in (tmp_path / "out" / "report.html").read_text()
    assert CliRunner().invoke(data, ["report", "looked-at@x", "--out", str(tmp_path)]).exit_code == 2


def test_a_vendor_sees_and_answers_its_own_and_operators_see_all(place: Place) -> None:
    with place.client("vendor-acme") as acme, place.client("vendor-rival") as rival, place.client("operator") as house:
        own = [f"vendors/acme/episodes/e-{number}" for number in (1, 2)]
        assert names(acme.post("/v1/vendors/acme/reviews:search", json={"order": "REVIEW_ORDER_WORST"})) == own
        assert names(rival.post("/v1/vendors/rival/reviews:search", json={})) == ["vendors/rival/episodes/e-3"]
        assert names(house.post("/v1/vendors/-/reviews:search", json={})) == [*own, "vendors/rival/episodes/e-3"]
        for path in ("reviews:search", "reviews:claim", "reviews/e-1:answer", "reviews/e-1:release"):
            body = {"note": "x"} if path.endswith("answer") else {}
            assert rival.post(f"/v1/vendors/acme/{path}", json=body).status_code == 404
            if path != "reviews:search":
                assert house.post(f"/v1/vendors/acme/{path}", json=body).status_code == 403
        assert rival.get("/v1/vendors/acme/reviews/e-1").status_code == 404
        assert house.get("/v1/vendors/acme/reviews/e-1").status_code == 200
        assert house.get("/v1/vendors/acme/reviews:figures").json()["openCount"] == "2"

        bad = acme.post("/v1/vendors/acme/reviews/e-1:answer", json={"failureCause": "bad_luck"})
        assert bad.status_code == 400 and "missed_grasp" in bad.json()["detail"]


@pytest.mark.long
@pytest.mark.browser
@pytest.mark.timeout(1000)
@pytest.mark.skipif(not CHROMIUM.exists(), reason=f"{CHROMIUM} is not installed")
@pytest.mark.skipif(not (BUILT / "index.html").exists(), reason="the console is not built")
def test_a_person_works_off_the_queue_in_the_console(place: Place) -> None:
    """Takes the worst one, sees its picture, says what is wrong with it; then the next is there."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as tool:
        started = tool.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS, timeout=180_000)
        page: Any = started.new_page(viewport={"width": 1366, "height": 900})
        page.set_default_timeout(180_000)
        wrong: list[str] = []
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(place.url)
        page.get_by_label("Token").fill(place.live.token("vendor-acme"))
        page.get_by_role("button", name="Log in").click()
        page.get_by_role("link", name="Review", exact=True).click()
        page.get_by_role("row", name=re.compile("e-2")).wait_for()
        page.get_by_role("button", name="Take the next").click()
        picture = page.get_by_role("img", name="Signals with the faults marked")
        assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 500
        page.get_by_label("The task").select_option("FAILURE")
        page.get_by_label("Because").select_option("dropped")
        page.get_by_label("These faults are there").check()
        page.get_by_role("button", name="Reject").click()
        page.get_by_text("1 open, 0 looked at, 0 accepted, 1 rejected").wait_for()
        page.get_by_role("row", name=re.compile("^gap .*1 0 0")).wait_for()
        started.close()
    assert wrong == []
    with place.client("vendor-acme") as acme:
        said = acme.get("/v1/vendors/acme/reviews/e-1").json()["annotations"]
    assert {one["field"]: one["value"] for one in said if one["kind"] == "AUTHOR_KIND_PERSON"} == {
        "verdict": "rejected",
        "outcome": "failure",
        "failure_cause": "dropped",
        "faults": "gap",
    }


def test_the_console_offers_the_catalogues_own_words() -> None:
    """They stand in both, for want of a place that both read."""
    text = PAGE.read_text()
    for name, words in (("CAUSES", opinion.FAILURE_CAUSES), ("GRADES", opinion.GRADES)):
        (listed,) = re.findall(rf"const {name} = \[(.*?)\]", text, re.DOTALL)
        assert tuple(re.findall("'([a-z_]+)'", listed)) == words
