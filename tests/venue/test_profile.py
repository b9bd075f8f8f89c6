"""Venue files: the good one, and every way to get one wrong."""

from pathlib import Path

import pytest

from venue.profile import BadProfile, Host, Profile

GOOD = """
[venue]
id = "hall"
[ports]
scheduler = 0
[runner]
sim_slots = 3
[[vendor]]
id = "acme"
[[host]]
id = "one"
watchdog_s = 0.4
[[host]]
id = "two"
"""


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "hall.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_venue_file_is_read_and_what_it_leaves_out_has_a_value(tmp_path: Path) -> None:
    profile = Profile.load(written(tmp_path, GOOD))

    assert (profile.venue, profile.name, profile.vendors) == ("hall", "hall", ("acme",))
    assert (profile.scheduler_port, profile.api_port, profile.sim_slots) == (0, 7480, 3)
    assert profile.hosts == (Host("one", 0.4), Host("two"))


def test_a_host_may_have_ideal_actuators(tmp_path: Path) -> None:
    profile = Profile.load(written(tmp_path, GOOD.replace("watchdog_s = 0.4", 'actuators = "ideal"')))

    assert [host.actuators for host in profile.hosts] == ["ideal", None]


def test_the_demo_s_own_file_is_good() -> None:
    profile = Profile.load(Path(__file__).parents[2] / "configs" / "venues" / "demo.toml")

    assert len(profile.vendors) == 3


@pytest.mark.parametrize(
    ("old", "new", "names"),
    [
        ('id = "hall"', "", r"\[venue\] id is missing"),
        ('id = "hall"', "id = 3", r"\[venue\] id is 3"),
        ('[venue]\nid = "hall"', 'venue = "hall"', "venue is 'hall', must be a table"),
        ("scheduler = 0", "scheduler = 65536", r"\[ports\] scheduler is 65536, must be 0 to 65535"),
        ("scheduler = 0", "scheduler = true", r"\[ports\] scheduler is True"),
        ("scheduler = 0", 'scheduler = "http"', r"\[ports\] scheduler is 'http'"),
        ("scheduler = 0", "api = -1", r"\[ports\] api is -1"),
        ("sim_slots = 3", 'sim_slots = "two"', r"\[runner\] sim_slots is 'two'"),
        ("sim_slots = 3", "ray_cpus = 0", r"\[runner\] ray_cpus is 0"),
        ("sim_slots = 3", "ray_address = 3", r"\[runner\] ray_address is 3"),
        ("watchdog_s = 0.4", "watchdog_s = 0", "host one: watchdog_s is 0"),
        ("watchdog_s = 0.4", "watchdog_s = nan", "host one: watchdog_s is nan"),
        ("watchdog_s = 0.4", "watchdog_s = inf", "host one: watchdog_s is inf"),
        ("watchdog_s = 0.4", "watchdog_s = true", "host one: watchdog_s is True"),
        ("watchdog_s = 0.4", 'actuators = "magic"', "host one: actuators is 'magic'"),
        ("watchdog_s = 0.4", "actuators = true", "host one: actuators is True"),
        ('id = "two"', 'id = "one"', r"\[\[host\]\] ids are not distinct: one, one"),
        ('id = "two"', "", r"\[\[host\]\] id is ''"),
        ('[[vendor]]\nid = "acme"', "", r"at least one \[\[vendor\]\]"),
        ('[[vendor]]\nid = "acme"', 'vendor = "acme"', "vendor must be tables"),
        ("[venue]", "[venue", "hall.toml"),
    ],
)
def test_a_wrong_value_is_refused_by_name(tmp_path: Path, old: str, new: str, names: str) -> None:
    assert old in GOOD
    top = new + "\n" + GOOD.replace(old, "", 1) if "=" in new and not new.startswith("[") else ""
    text = top if new.startswith(("venue =", "vendor =")) else GOOD.replace(old, new, 1)

    with pytest.raises(BadProfile, match=names) as refused:
        Profile.load(written(tmp_path, text))
    assert "hall.toml" in str(refused.value)


def test_a_file_that_is_missing_or_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadProfile, match="No such file"):
        Profile.load(tmp_path / "none.toml")
    with pytest.raises(BadProfile, match="codec"):
        Profile.load(written(tmp_path, b"\xff\xfe"))
