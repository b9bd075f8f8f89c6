"""What a runner says it knows is what its worlds can do: the names are those that the simulation binds."""

from palaestra.policy_address import LOOPBACK
from runner.repertoire import repertoire
from sim.catalog import find
from sim.randomisation import QUANTITIES
from sim.slot import SimSlot
from sim.tasks import find_task


def test_a_runner_tells_the_names_that_a_job_may_use() -> None:
    told = repertoire(None, LOOPBACK)

    assert {each.quantity for each in told.quantities} == set(QUANTITIES)
    for quantity in told.quantities:
        kind = QUANTITIES[quantity.quantity]
        assert (quantity.on, quantity.actuators) == (kind.on, kind.actuators)
        assert quantity.HasField("least") == (kind.least > float("-inf"))
    assert tuple(told.policy_servers) == LOOPBACK
    names = {each.robot_model: each for each in told.robots}
    assert sorted(names) == list(told.robot_models)
    slot = SimSlot(find("own_quadruped"), find_task("walk"), worlds=1, threads=1, seed=0)
    own, model = names["own_quadruped"], slot.model
    assert {model.body(i).name for i in range(model.nbody)} <= set(own.bodies)
    assert {model.geom(i).name for i in range(model.ngeom)} - {""} <= set(own.shapes)
    assert tuple(own.joints) == tuple(slot.joint_names)
