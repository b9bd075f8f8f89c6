"""What was made for agreements that have ended is destroyed, whatever happens to another's."""

from pathlib import Path

from sharing.grant import Grant
from sharing.projection.tables import ProjectedFile, Projection
from sharing.server import collect
from tests.sharing.stage import AURORA, stage


class Stuck:
    """A projector that cannot drop the first agreement that it is asked to."""

    def __init__(self) -> None:
        self.stuck = ""

    def project(self, grant: Grant) -> Projection:
        raise NotImplementedError

    def read(self, file: ProjectedFile, begin: int, size_bytes: int) -> bytes:
        raise NotImplementedError

    def drop(self, agreement: str) -> int:
        self.stuck = self.stuck or agreement
        if agreement == self.stuck:
            raise PermissionError("a disk of a test")
        return 0


def test_one_that_cannot_be_collected_keeps_no_other_from_it(tmp_path: Path, made_catalogue: Path) -> None:
    (tmp_path / "catalogue.db").write_bytes(made_catalogue.read_bytes())
    stuck = Stuck()
    staged = stage(tmp_path, projector=stuck)
    for number in range(3):
        staged.room.register.revoke(staged.agree(note=str(number)).digest, AURORA, "")

    assert collect(staged.room) == 2
    assert [entry.agreement.digest for entry in staged.room.register.ended()] == [stuck.stuck]
    staged.close()


def test_one_that_cannot_be_read_keeps_no_other_from_being_found(tmp_path: Path, made_catalogue: Path) -> None:
    (tmp_path / "catalogue.db").write_bytes(made_catalogue.read_bytes())
    staged = stage(tmp_path)
    digests = [staged.agree(note=str(number)).digest for number in range(2)]
    for digest in digests:
        staged.room.register.revoke(digest, AURORA, "")
    with staged.room.database.transaction() as db:
        for trigger in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'agreement'"):
            db.execute(f"DROP TRIGGER {trigger['name']}")
        db.execute("UPDATE agreement SET document = '{\"terms\": 7}' WHERE digest = ?", (digests[0],))

    assert [entry.agreement.digest for entry in staged.room.register.ended()] == [digests[1]]
    staged.close()
