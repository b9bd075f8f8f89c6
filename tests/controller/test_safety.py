"""The life cycle: only what the table says, and both forms of the step follow it."""

import itertools

import numpy as np
import pytest

from controller import CommandError, Event, Fault, State, StateError, StopHeldError, safety
from tests.controller.robots import PERIOD_S, keep_commanding, robot, running


def test_what_is_not_in_the_table_is_an_error_and_changes_nothing_in_a_tick() -> None:
    for state, event in itertools.product(State, Event):
        if (state, event) in safety.NEXT:
            assert safety.advance(state, event) == safety.NEXT_STATE[state, event]
        else:
            with pytest.raises(StateError, match=f"{state.name} cannot {event.name}"):
                safety.advance(state, event)
            assert safety.NEXT_STATE[state, event] == state


def test_every_way_from_a_stop_to_torque_passes_through_reset_arm_and_a_command() -> None:
    """Without one of these three events RUN cannot be reached from STOPPED."""
    for missing in (Event.RESET, Event.ARM, Event.COMMAND):
        reached, frontier = {State.STOPPED}, [State.STOPPED]
        while frontier:
            state = frontier.pop()
            for event in set(Event) - {missing}:
                after = safety.NEXT.get((state, event), state)
                if after not in reached:
                    reached.add(after)
                    frontier.append(after)

        assert State.RUN not in reached
        assert State.STOPPING not in reached


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize(("category", "event"), [(0, Event.STOP_0), (1, Event.STOP_1)])
def test_the_step_follows_the_table_for_stops(backend: str, state: State, category: int, event: Event) -> None:
    cohort = running(robot(), backend=backend)
    cohort.dq[:] = 1.0  # moving, so that a braking unit does not come to rest within this tick
    cohort.block.state[0] = state
    cohort.request_stop(0, category)
    cohort.step()

    assert cohort.unit_state(0) == safety.NEXT[state, event]


@pytest.mark.parametrize("state", list(State))
def test_the_step_follows_the_table_for_commands(backend: str, state: State) -> None:
    cohort = running(robot(), backend=backend)
    cohort.dq[:] = 1.0
    cohort.block.state[0] = state
    cohort.submit()
    cohort.step()

    assert cohort.unit_state(0) == safety.NEXT.get((state, Event.COMMAND), state)


def test_a_category_0_stop_takes_the_torque_off_within_one_tick(backend: str) -> None:
    cohort = running(robot(), units=3, backend=backend)
    cohort.q_ref[:] = 1.0
    keep_commanding(cohort, 20)
    assert (cohort.tau != 0.0).all()
    cohort.request_stop(1, 0)
    cohort.submit()
    cohort.step()

    assert (cohort.tau[:, 1] == 0.0).all()
    assert (cohort.tau[:, [0, 2]] != 0.0).all()
    assert cohort.unit_state(1) == State.STOPPED
    assert cohort.unit_faults(1) == Fault.STOP_REQUESTED


def test_a_category_1_stop_brakes_until_rest_and_then_takes_the_torque_off(backend: str) -> None:
    """While a joint moves the torque opposes it; after the dwell at rest there is none."""
    spec = robot(stop_dwell_s=5 * PERIOD_S)
    cohort = running(spec, backend=backend)
    cohort.dq[:, 0] = [3.0, -3.0, 1.0]
    cohort.request_stop(0, 1)
    for _ in range(10):
        cohort.step()
        assert cohort.unit_state(0) == State.STOPPING
        assert (cohort.tau[:, 0] * cohort.dq[:, 0] < 0.0).all()
    cohort.dq[:] = 0.0
    states = []
    for _ in range(5):
        cohort.step()
        states.append(cohort.unit_state(0))

    assert states == [State.STOPPING] * 4 + [State.STOPPED]
    assert (cohort.tau == 0.0).all()


def test_a_category_1_stop_that_never_comes_to_rest_ends_at_its_timeout(backend: str) -> None:
    cohort = running(robot(stop_timeout_s=10 * PERIOD_S), backend=backend)
    cohort.dq[:] = 1.0
    cohort.request_stop(0, 1)
    for _ in range(10):
        cohort.step()
        assert cohort.unit_state(0) == State.STOPPING
    cohort.step()

    assert cohort.unit_state(0) == State.STOPPED


@pytest.mark.parametrize("ticks", [1, 7, 50])
def test_the_watchdog_fires_exactly_at_its_tick(backend: str, ticks: int) -> None:
    """A command may be `ticks` old; at one tick more the unit brakes."""
    cohort = running(robot(watchdog_s=ticks * PERIOD_S), backend=backend)
    cohort.dq[:] = 1.0
    for _ in range(ticks):
        cohort.step()
        assert cohort.unit_state(0) == State.RUN
    cohort.step()

    assert cohort.unit_state(0) == State.STOPPING
    assert cohort.unit_faults(0) == Fault.WATCHDOG


def test_a_stream_of_rejected_commands_is_no_sign_of_life(backend: str) -> None:
    cohort = running(robot(watchdog_s=5 * PERIOD_S), backend=backend)
    cohort.dq[:] = 1.0
    cohort.q_ref[1, 0] = np.nan
    keep_commanding(cohort, 6)

    assert cohort.unit_state(0) == State.STOPPING
    assert cohort.unit_faults(0) == Fault.WATCHDOG | Fault.COMMAND_REJECTED
    assert cohort.joint_faults(0) == {"joint_1": Fault.COMMAND_REJECTED}


def test_a_rejected_command_keeps_the_last_good_one_of_its_joint_alone(backend: str) -> None:
    cohort = running(robot(), backend=backend)
    cohort.set_target(0, q_ref=[0.1, 0.1, 0.1])
    cohort.step()
    for bad in ({"q_ref": np.nan}, {"tau_ff": np.inf}, {"kp": -1.0}, {"kd": np.nan}, {"dq_ref": -np.inf}):
        cohort.set_target(0, q_ref=[0.5, 0.5, 0.5], dq_ref=0.0, tau_ff=0.0, kp=20.0, kd=2.0)
        cohort.set_target(0, **{name: {"joint_2": value} for name, value in bad.items()})
        cohort.step()

        assert cohort.block.held_q_ref[:, 0] == pytest.approx([0.5, 0.5, 0.1])
        assert np.isfinite(cohort.tau).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("sensor", ["q", "dq"])
def test_a_blind_joint_takes_the_torque_off_its_whole_unit(backend: str, sensor: str, bad: float) -> None:
    cohort = running(robot(), units=2, backend=backend)
    cohort.q_ref[:] = 1.0
    keep_commanding(cohort, 5)
    getattr(cohort, sensor)[1, 0] = bad
    keep_commanding(cohort, 1)

    assert cohort.unit_state(0) == State.STOPPED
    assert (cohort.tau[:, 0] == 0.0).all()
    assert Fault.SENSOR_NOT_FINITE in cohort.joint_faults(0)["joint_1"]
    assert cohort.unit_state(1) == State.RUN


def test_over_speed_brakes_in_the_tick_that_sees_it(backend: str) -> None:
    cohort = running(robot(overspeed_ratio=1.25), backend=backend)
    cohort.dq[2, 0] = 24.9
    keep_commanding(cohort, 1)
    assert cohort.unit_state(0) == State.RUN
    cohort.dq[2, 0] = -25.1
    keep_commanding(cohort, 1)

    assert cohort.unit_state(0) == State.STOPPING
    assert cohort.joint_faults(0) == {"joint_2": Fault.OVER_SPEED}
    cohort.step()  # the torque turns around at its rate
    assert cohort.tau[2, 0] > 0.0


def test_a_unit_moved_by_hand_without_power_is_no_fault(backend: str) -> None:
    cohort = running(robot(), backend=backend)
    cohort.request_stop(0, 0)
    cohort.step()
    cohort.reset(0)
    cohort.dq[:] = 100.0
    cohort.step()

    assert cohort.unit_state(0) == State.INIT
    assert cohort.unit_faults(0) == Fault.NONE


def test_a_reset_never_restarts(backend: str) -> None:
    """After reset, and after arm, commands that were sent before do not move anything."""
    cohort = running(robot(), backend=backend)
    cohort.q_ref[:] = 1.0
    keep_commanding(cohort, 5)
    cohort.request_stop(0, 0)
    keep_commanding(cohort, 2)
    cohort.submit()
    cohort.reset(0)
    keep_commanding(cohort, 5)
    assert cohort.unit_state(0) == State.INIT
    assert (cohort.tau == 0.0).all()
    cohort.submit()
    cohort.arm(0)
    for _ in range(5):
        cohort.step()
    assert cohort.unit_state(0) == State.ARMED
    assert (cohort.tau == 0.0).all()
    cohort.set_target(0, q_ref=1.0)
    cohort.step()

    assert cohort.unit_state(0) == State.RUN
    assert (cohort.tau != 0.0).all()


def test_a_reset_is_refused_while_the_cause_holds(backend: str) -> None:
    cohort = running(robot(), backend=backend)
    cohort.q[1, 0] = np.nan
    cohort.step()
    with pytest.raises(StopHeldError, match="joint_1 measures nan rad"):
        cohort.reset(0)
    cohort.q[1, 0] = 0.0
    cohort.dq[0, 0] = 100.0
    with pytest.raises(StopHeldError, match="joint_0 moves at 100"):
        cohort.reset(0)
    cohort.dq[0, 0] = 0.0
    cohort.request_stop(0, 1)
    with pytest.raises(StopHeldError, match="stop request"):
        cohort.reset(0)
    cohort.step()
    assert cohort.unit_faults(0) == Fault.SENSOR_NOT_FINITE | Fault.STOP_REQUESTED
    cohort.reset(0)

    assert cohort.unit_faults(0) == Fault.NONE
    assert cohort.joint_faults(0) == {}


def test_faults_stay_until_somebody_resets_them(backend: str) -> None:
    cohort = running(robot(), backend=backend)
    cohort.q[1, 0] = np.nan
    cohort.step()
    cohort.q[1, 0] = 0.0
    keep_commanding(cohort, 50)

    assert cohort.unit_state(0) == State.STOPPED
    assert cohort.joint_faults(0) == {"joint_1": Fault.SENSOR_NOT_FINITE}


def test_a_wrong_step_or_category_is_refused_and_changes_nothing(backend: str) -> None:
    cohort = running(robot(), backend=backend)
    with pytest.raises(StateError):
        cohort.reset(0)
    with pytest.raises(StateError):
        cohort.arm(0)
    with pytest.raises(CommandError, match="category 2"):
        cohort.request_stop(0, 2)

    assert cohort.unit_state(0) == State.RUN
