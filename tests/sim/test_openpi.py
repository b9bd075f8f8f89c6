"""Policy servers over real websockets: a small one that speaks openpi's protocol, and what broken ones do."""

import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

pytest.importorskip("msgpack", reason="the extra `env` is not installed")
pytest.importorskip("websockets", reason="the extra `env` is not installed")

import msgpack
from websockets.sync.server import ServerConnection

from sim.env.openpi import PolicyServer, ServedPolicy, state_and_prompt
from sim.env.wire import pack, unpack
from sim.errors import PolicyServerError, PolicyServerGone
from tests.sim.policy_server import ABOUT, answering, server


def chunks(observation: dict[str, Any]) -> bytes:
    """Chunks of 4 actions of 3 numbers: the step, the first number of the state, the length of the prompt."""
    first, words = float(observation["observation/state"][0]), float(len(observation["prompt"]))
    rows = [[k, first, words] for k in range(4)]
    return pack({"actions": np.array(rows, np.float32), "server_timing": {"infer_ms": 1.5}})


def test_a_policy_server_answers_with_a_chunk_and_tells_about_itself() -> None:
    seen: list[Any] = []
    with server(answering(chunks, seen=seen)) as address, PolicyServer(address, api_key="k-1") as served:
        actions = served.infer({"observation/state": np.array([2.5, 1.0], np.float32), "prompt": "go"})

        assert served.metadata == ABOUT
        assert served.timing == {"infer_ms": 1.5}
        assert actions.tolist() == [[k, 2.5, 2.0] for k in range(4)]
    assert seen == ["Api-Key k-1"]


def test_each_world_carries_out_its_own_chunk_and_asks_again_when_it_is_used_up() -> None:
    asked = []

    def policy(observation: dict[str, Any]) -> bytes:
        asked.append(float(observation["observation/state"][0]))
        return chunks(observation)

    with server(answering(policy)) as address, PolicyServer(address) as served:
        acting = ServedPolicy(served, 2, observe=state_and_prompt("go"), chunk_steps=3)
        seen = [acting.act(np.array([[float(k)], [10.0 + k]])) for k in range(4)]
        acting.reset([1])
        last = acting.act(np.array([[4.0], [14.0]]))

    assert [row[0, 0] for row in seen] == [0, 1, 2, 0]
    assert asked == [0.0, 10.0, 3.0, 13.0, 14.0]
    assert last.tolist() == [[1.0, 3.0], [0.0, 14.0]]


def test_a_served_policy_drives_the_worlds_as_the_same_policy_does_in_process() -> None:
    vector = pytest.importorskip("sim.env.vector", reason="gymnasium is not installed")
    gains = np.random.default_rng(1).uniform(-1, 1, (7, 6))

    def policy(observation: dict[str, Any]) -> bytes:
        return pack({"actions": (gains @ observation["observation/state"].astype(float))[None]})

    ours, theirs = (vector.make_vec("own_arm", "reach", 2) for _ in range(2))
    a, b = ours.reset(seed=1)[0], theirs.reset(seed=1)[0]
    with server(answering(policy)) as address, PolicyServer(address) as served:
        acting = ServedPolicy(served, 7, observe=state_and_prompt("reach"))
        for _ in range(10):
            a = ours.step(acting.act(a))[0]
            rows = b.astype(np.float32).astype(float)
            b = theirs.step(np.stack([gains @ row for row in rows]))[0]

    assert np.array_equal(a, b)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_published_client_and_our_server_understand_each_other_and_its_packing_is_ours() -> None:
    published = pytest.importorskip("openpi_client.msgpack_numpy", reason="openpi-client is not installed")
    client = pytest.importorskip("openpi_client.websocket_client_policy")
    message = {"a": np.arange(6.0).reshape(2, 3), "n": np.float32(0.5), "s": "x", "t": [1, 2.5, None]}

    assert pack(message) == published.packb(message)
    with server(answering(chunks)) as address:
        theirs = client.WebsocketClientPolicy(address)
        answer = theirs.infer({"observation/state": np.array([2.5], np.float32), "prompt": "go"})
        theirs._ws.close()
    assert answer["actions"].tolist() == [[k, 2.5, 2.0] for k in range(4)]


def flawed(*, data: bytes = b"12345678", dtype: str = "<f8", shape: Any = (1,)) -> bytes:
    """An answer whose array contradicts itself."""
    return msgpack.packb({"actions": {b"__ndarray__": True, b"data": data, b"dtype": dtype, b"shape": shape}})


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("Traceback\nValueError: no such camera", "no such camera"),
        (b"\xc1", "cannot be read"),
        (pack([1, 2]), "not a table"),
        (pack({"action": np.zeros(3)}), "without actions"),
        (pack({"actions": [0.0, 1.0]}), "without actions"),
        (pack({"actions": np.zeros((0, 3))}), "without actions"),
        (pack({"actions": np.array([[np.nan, 0.0]])}), "not finite"),
        (flawed(data=b"12345678", dtype="O"), "plain numbers"),
        (flawed(data=b"1234"), "4 bytes"),
        (flawed(shape=[-1]), "shape"),
        (msgpack.packb({"actions": {b"__npgeneric__": True, b"data": 1, b"dtype": "nothing"}}), "nothing"),
    ],
)  # fmt: skip
def test_an_answer_that_is_no_action_is_refused_with_the_reason(answer: Any, reason: str) -> None:
    with (
        server(answering(lambda _: answer)) as address,
        PolicyServer(address) as served,
        pytest.raises(PolicyServerError, match=reason),
    ):
        served.infer({"observation/state": np.zeros(1)})


def test_an_answer_too_large_for_the_memory_of_others_is_not_read() -> None:
    answer = pack({"actions": bytes(17 * 2**20)})
    with (
        server(answering(lambda _: answer)) as address,
        PolicyServer(address) as served,
        pytest.raises(PolicyServerGone, match=r"too big|too large|exceed"),
    ):
        served.infer({"observation/state": np.zeros(1)})


def test_a_server_that_is_silent_gone_or_none_at_all_is_named() -> None:
    def silent(socket: ServerConnection) -> None:
        socket.send(pack(ABOUT))
        socket.recv()
        stop.wait(20.0)

    def leaving(socket: ServerConnection) -> None:
        socket.send(pack(ABOUT))
        socket.recv()

    stop = threading.Event()
    with server(silent) as address, PolicyServer(address, timeout_s=0.2) as served:
        try:
            with pytest.raises(PolicyServerError, match=r"no answer within 0.2 s"):
                served.infer({})
            with pytest.raises(PolicyServerError, match="connection lost"):
                served.infer({})
        finally:
            stop.set()
    with (
        server(leaving) as address,
        PolicyServer(address) as served,
        pytest.raises(PolicyServerError, match="connection lost"),
    ):
        served.infer({})
    with pytest.raises(PolicyServerError, match="no policy server"):
        PolicyServer(address, timeout_s=1.0)
    with pytest.raises(PolicyServerError, match="ws://"):
        PolicyServer("http://127.0.0.1:1")


def test_actions_of_too_few_numbers_are_refused_and_padded_ones_cut() -> None:
    with server(answering(chunks)) as address, PolicyServer(address) as served:
        with pytest.raises(PolicyServerError, match="3 numbers, the robot needs 7"):
            ServedPolicy(served, 7, observe=state_and_prompt("go")).act(np.zeros((1, 2)))
        assert ServedPolicy(served, 2, observe=state_and_prompt("go")).act(np.zeros((1, 2))).shape == (1, 2)
    with pytest.raises(ValueError, match="chunk_steps"):
        ServedPolicy(served, 2, observe=state_and_prompt("go"), chunk_steps=0)


@given(
    arrays.arrays(
        st.sampled_from(["<f4", "<f8", "<i4", "|u1", "|b1", "<i8"]),
        arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
    )
)
def test_every_plain_array_survives_the_wire_to_the_bit(array: np.ndarray) -> None:
    back = unpack(pack({"x": array}))["x"]

    assert back.dtype == array.dtype
    assert back.shape == array.shape
    assert back.tobytes() == array.tobytes()


@given(st.binary(max_size=64))
def test_no_bytes_are_more_than_a_clear_error(data: bytes) -> None:
    """What is read is read again from what it is packed to; everything else is one kind of error."""
    try:
        message = unpack(data)
    except PolicyServerError:
        return
    assert repr(unpack(pack(message))) == repr(message)


@pytest.mark.parametrize("thing", [np.array([object()]), np.array([1j]), object(), {1, 2}])
def test_what_has_no_place_in_a_message_is_refused(thing: Any) -> None:
    with pytest.raises(PolicyServerError, match="cannot be sent"):
        pack({"x": thing})
