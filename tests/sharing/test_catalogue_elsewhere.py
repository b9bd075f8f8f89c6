"""What is shared is looked up in a catalogue in PostgreSQL as in a file, by a role that may only read."""

from contextlib import closing
from pathlib import Path

import pytest

pytest.importorskip("psycopg")

from database.address import Address
from database.postgres.connection import Connection
from database.sql import Failed
from palaestra.errors import PalaestraError
from sharing.delta.history import History
from sharing.errors import NotShared
from sharing.projection.sources import sources_of
from sharing.versions import Versions
from tests.cluster import Cluster
from tests.sharing.stage import catalogue_of, stage

WALKS = "vendors/aurora/datasets/walks"
# As docs/sharing.md has it.
ROLE = """
CREATE ROLE palaestra_sharing LOGIN;
GRANT USAGE ON SCHEMA catalogue TO palaestra_sharing;
GRANT SELECT ON ALL TABLES IN SCHEMA catalogue TO palaestra_sharing;
ALTER DEFAULT PRIVILEGES IN SCHEMA catalogue GRANT SELECT ON TABLES TO palaestra_sharing;
"""


def test_versions_are_found_there_and_a_server_that_is_gone_is_no_answer(cluster: Cluster, tmp_path: Path) -> None:
    """Not the 404 of what is not shared, and not version 0: those would be believed."""
    place = cluster.fresh(empty=True)
    catalogue_of(place)
    with closing(Connection(place.url, {})) as db:
        db.script(ROLE)
    made = stage(tmp_path, catalogue=Address(place.url.replace("postgres@", "palaestra_sharing@")))
    catalogue = made.room.catalogue
    versions, history = Versions(catalogue), History(catalogue)

    assert versions.newest(WALKS) == 2
    assert versions.newest("vendors/aurora/datasets/none") == 0
    assert [one.uid for one in sources_of(catalogue, WALKS, 0)[1]] == ["e-0", "e-1"]
    assert [one.uid for one in sources_of(catalogue, WALKS, 1)[1]] == ["e-0"]
    assert history.at(WALKS, 1.0) == 2
    with pytest.raises(NotShared):
        sources_of(catalogue, "vendors/aurora/datasets/none", 0)
    with pytest.raises(Failed, match="read-only"):
        catalogue.reader().execute("DELETE FROM label")

    cluster.kill()
    try:
        for look in (
            lambda: versions.newest(WALKS),
            lambda: sources_of(catalogue, WALKS, 0),
            lambda: history.at(WALKS, 1.0),
        ):
            with pytest.raises(PalaestraError, match="does not answer") as caught:
                look()
            assert caught.value.reason == "DISK_FAILED"
    finally:
        cluster.start()
    assert versions.newest(WALKS) == 2
    made.close()


def test_a_venue_in_which_nothing_was_ever_recorded_shares_nothing(cluster: Cluster, tmp_path: Path) -> None:
    made = stage(tmp_path, catalogue=cluster.fresh(empty=True))

    assert Versions(made.room.catalogue).newest(WALKS) == 0
    with pytest.raises(NotShared):
        sources_of(made.room.catalogue, WALKS, 0)
    with pytest.raises(NotShared):
        History(made.room.catalogue).at(WALKS, 1.0)
    made.close()
