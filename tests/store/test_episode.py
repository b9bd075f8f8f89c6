"""The rules of headers and outcomes."""

import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store import BASE_POSE, EFFORT, EpisodeHeader, InvalidEpisode, Outcome, Status, joint_units


@pytest.mark.parametrize("base_pose", [False, True])
def test_a_header_survives_the_file(make_header: Any, base_pose: bool) -> None:
    """JSON and back, and the pickle by which it travels between processes, give an equal header."""
    header = make_header(task="把红色箱子放到架子上 ✓", base_pose=base_pose, level="L2", cell="cells/c1")

    assert EpisodeHeader.from_json(header.to_json()) == header
    assert pickle.loads(pickle.dumps(header)) == header
    assert (BASE_POSE in header.signals) is base_pose
    assert header.row_values == 2 + 4 * 3 + 7 * base_pose


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("vendor", "  "),
        ("job", None),
        ("maker", "line\nbreak"),
        ("robot_model", "x" * 256),
        ("engine", "\ud800"),
        ("task", "x" * 501),
        ("attempt", 0),
        ("attempt", True),
        ("attempt", 1.0),
        ("seed", -1),
        ("seed", 2**63),
        ("started_at_ns", 0),
        ("control_rate_hz", 0.0),
        ("control_rate_hz", float("nan")),
        ("sample_rate_hz", float("inf")),
        ("sample_rate_hz", "500"),
        ("clock_source", "sundial"),
        ("level", "L5"),
        ("model_sha256", "ABC"),
        ("model_sha256", "A" * 64),
        ("joint_names", ()),
        ("joint_names", "abc"),
        ("joint_names", ("a", "a")),
        ("joint_names", ("a", "")),
        ("joint_names", tuple(str(i) for i in range(1025))),
        ("units", {"time_s": "s"}),
        ("units", {**joint_units(), EFFORT: ""}),
        ("units", {**joint_units(), "observation.smell": "?"}),
        ("schema_version", 3),
    ],
)
def test_a_broken_field_is_named_with_its_value(make_header: Any, field: str, value: Any) -> None:
    """The message begins with the field's name."""
    with pytest.raises(InvalidEpisode, match=rf"^{field}"):
        make_header(**{field: value})


def test_an_episode_ran_on_a_unit_or_in_a_world_but_not_both(make_header: Any) -> None:
    """Neither and both are refused; the one alone is taken."""
    assert make_header(unit="units/u1", world=None).unit == "units/u1"
    with pytest.raises(InvalidEpisode, match="exactly one"):
        make_header(unit=None, world=None)
    with pytest.raises(InvalidEpisode, match="exactly one"):
        make_header(unit="units/u1", world="w")


@pytest.mark.parametrize("text", ["", "[]", "{", "null", '{"a": 1}', "{}", "[" * 100_000, b"\xff\xfe"])
def test_text_that_is_no_header_is_refused_as_such(text: str | bytes) -> None:
    """Nothing but InvalidEpisode comes out, whatever goes in."""
    with pytest.raises(InvalidEpisode):
        EpisodeHeader.from_json(text)
    with pytest.raises(InvalidEpisode):
        Outcome.from_json(text)


@given(
    status=st.sampled_from([Status.FAILURE, Status.ABORTED]),
    cause=st.text(st.characters(min_codepoint=32, exclude_categories=["Cs"]), min_size=1, max_size=40).filter(
        lambda text: text.strip() != ""
    ),
    episode_return=st.none() | st.floats(allow_nan=False, allow_infinity=False),
)
def test_an_outcome_survives_the_file(status: Status, cause: str, episode_return: float | None) -> None:
    """JSON and back gives an equal outcome."""
    outcome = Outcome(status, cause, episode_return)

    assert Outcome.from_json(outcome.to_json()) == outcome


def test_only_a_success_needs_no_cause() -> None:
    """A failure says why, a success has nothing to explain, and there is no fourth way to end."""
    assert Outcome("success").status is Status.SUCCESS  # type: ignore[arg-type]
    for status, cause in (("failure", ""), ("aborted", " "), ("success", "luck"), ("draw", "x")):
        with pytest.raises(InvalidEpisode):
            Outcome(status, cause)  # type: ignore[arg-type]
    with pytest.raises(InvalidEpisode, match="episode_return"):
        Outcome(Status.SUCCESS, episode_return=float("nan"))
