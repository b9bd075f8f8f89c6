"""Venue files: the good one, and every way to get one wrong."""

from pathlib import Path

import pytest

from palaestra.policy_address import LOOPBACK
from venue.profile import BadProfile, Host, Profile, Tls

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


def test_hosts_elsewhere_are_not_started_here_and_doors_are_closed_unless_opened(tmp_path: Path) -> None:
    profile = Profile.load(written(tmp_path, GOOD.replace("watchdog_s = 0.4", "elsewhere = true")))

    assert [host.id for host in profile.hosts] == ["one", "two"]
    assert [host.id for host in profile.hosts_here] == ["two"]
    assert profile.tls == Tls()
    opened = Profile.load(written(tmp_path, f'{GOOD}[tls]\nlisten = "0.0.0.0:7443"\nclient_certificates = true\n'))
    assert opened.tls == Tls("0.0.0.0:7443", client_certificates=True)


def test_whom_the_runner_calls_and_who_may_drive_worlds_is_the_venues_to_say(tmp_path: Path) -> None:
    assert Profile.load(written(tmp_path, GOOD)).policy_servers == ()
    text = GOOD.replace("sim_slots = 3", 'sim_slots = 3\npolicy_servers = ["gpu.example:8000", "127.0.0.1:*"]')
    profile = Profile.load(written(tmp_path, f'{text}[tls]\nslots_listen = "0.0.0.0"\n'))

    assert profile.policy_servers == ("gpu.example:8000", "127.0.0.1:*")
    assert profile.tls.slots_listen == "0.0.0.0"


def test_vendors_share_where_the_venue_says_so(tmp_path: Path) -> None:
    assert not Profile.load(written(tmp_path, GOOD)).sharing
    tls = '[tls]\nsharing_listen = "0.0.0.0:7490"\n'
    profile = Profile.load(written(tmp_path, GOOD + f"[sharing]\nenabled = true\n{tls}"))
    assert (profile.sharing, profile.sharing_port) == (True, 7490)
    assert profile.tls.sharing_url(["hall.example"]) == "https://hall.example:7490"


def test_the_demo_s_own_file_is_good() -> None:
    profile = Profile.load(Path(__file__).parents[2] / "configs" / "venues" / "demo.toml")

    assert len(profile.vendors) == 3
    assert profile.policy_servers == LOOPBACK


@pytest.mark.parametrize(
    ("old", "new", "names"),
    [
        ('id = "hall"', "", r"\[venue\] id is missing"),
        ('id = "hall"', "id = 3", r"\[venue\] id is 3"),
        ('[venue]\nid = "hall"', 'venue = "hall"', "venue is 'hall', must be a table"),
        ("watchdog_s = 0.4", 'elsewhere = "yes"', "host one: elsewhere is 'yes'"),
        ("[runner]", '[tls]\nlisten = "7443"\n[runner]', r"\[tls\] listen is '7443', must be an address"),
        ("[runner]", '[tls]\napi_listen = "0.0.0.0:0"\n[runner]', r"\[tls\] api_listen is"),
        ("[runner]", "[tls]\nclient_certificates = 1\n[runner]", "client_certificates is 1"),
        ("[runner]", '[tls]\nport = "1"\n[runner]', r"\[tls\] has no port"),
        ("[runner]", '[tls]\nslots_listen = "0.0.0.0:7"\n[runner]', r"\[tls\] slots_listen is '0.0.0.0:7'"),
        ("sim_slots = 3", 'policy_servers = "gpu:80"', r"\[runner\] policy_servers is 'gpu:80', must be a list"),
        ("sim_slots = 3", 'policy_servers = ["gpu"]', r"\[runner\] policy_servers: 'gpu' is not of the form host:port"),
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
        ("[venue]", '[store]\nobjects = "/elsewhere"\n[venue]', r"objects must be s3://bucket"),
        ("[venue]", '[store]\nobjects = "s3://key:word@bucket"\n[venue]', r"keys belong into the environment"),
        ("[venue]", '[catalogue]\ndatabase = "file.db"\n[venue]', r"must be postgresql://"),
        ("[venue]", '[catalogue]\ndatabase = "postgresql://me:word@db/hall"\n[venue]', r"has a password in it"),
        ("[venue]", '[catalogue]\ndatabase = "postgresql://db/hall?password=word"\n[venue]', r"has a password in it"),
        ("[venue]", '[catalogue]\nfile = "x"\n[venue]', r"\[catalogue\] has no file"),
        ("[venue]", '[store]\nencryption = "rot13"\n[venue]', r"must be vendor-keys"),
        ("[venue]", '[store]\nobjects = "s3://bucket"\nencryption = "vendor-keys"\n[venue]', r"not there yet"),
        ("[venue]", '[store]\nobject = "s3://bucket"\n[venue]', r"\[store\] has no object"),
        ("[venue]", "[sharing]\nenabled = 1\n[venue]", r"\[sharing\] enabled is 1, must be true or false"),
        ("[venue]", "[sharing]\nport = 1\n[venue]", r"\[sharing\] has no port"),
        ("scheduler = 0", "sharing = -1", r"\[ports\] sharing is -1"),
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


def test_a_standby_has_a_port_of_its_own(tmp_path: Path) -> None:
    without = Profile.load(written(tmp_path, GOOD))
    profile = Profile.load(written(tmp_path, f"{GOOD}[scheduler]\nstandby = true\n"))

    assert not without.standby
    assert (profile.standby, profile.standby_port) == (True, 7401)


def test_a_standby_of_a_venue_with_tls_needs_a_way_in_too(tmp_path: Path) -> None:
    text = f'{GOOD}[scheduler]\nstandby = true\n[tls]\nlisten = "0.0.0.0:7443"\n'
    with pytest.raises(BadProfile, match="standby_listen"):
        Profile.load(written(tmp_path, text))

    assert Profile.load(written(tmp_path, f'{text}standby_listen = "0.0.0.0:7444"\n')).tls.standby_listen


def test_compute_jobs_go_to_a_cluster_only_where_there_is_one(tmp_path: Path) -> None:
    clustered = GOOD.replace("[runner]", '[runner]\nray_address = "192.0.2.7:6379"')

    def read(text: str) -> Profile:
        return Profile.load(written(tmp_path, text))

    assert read(clustered + '[sharing]\nenabled = true\ncompute = "cluster"\n').sharing_cluster
    assert not read(clustered + "[sharing]\nenabled = true\n").sharing_cluster
    with pytest.raises(BadProfile, match="ray_address"):
        read(GOOD + '[sharing]\ncompute = "cluster"\n')
    with pytest.raises(BadProfile, match="compute is 'there'"):
        read(GOOD + '[sharing]\ncompute = "there"\n')
