"""A node of a Ray cluster that is lost ends its work within a minute: a second raylet on this machine."""

import re
import subprocess
import sys

import pytest

BAR_S = 60.0


@pytest.mark.long
@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("how", "told"),
    [("SIGKILL", r"The actor died|actor is dead|node"), ("SIGSTOP", "did not answer 4 times in a row|node")],
)
def test_work_on_a_node_that_is_lost_ends_within_a_minute(how: str, told: str) -> None:
    """Its raylet is killed; or raylet and worker are stopped, as a machine is gone of which no connection is closed.

    By the runner's own pool, with work that would go on for an hour. How long it took is printed and not asserted: a
    silent worker is asked four times, for ten seconds each.
    """
    command = [sys.executable, "-m", "tests.runner.lost_node", how]
    done = subprocess.run(command, capture_output=True, text=True, timeout=390.0, check=False)

    assert done.returncode == 0, done.stderr
    found = re.search(r"^lost after ([0-9.]+) s: (.*)$", done.stdout, re.MULTILINE)
    assert found is not None, done.stdout + done.stderr
    assert re.search(told, found[2]), found[2]
    print(f"{how}: the work was given up after {found[1]} s (bar: {BAR_S:.0f} s)")
