"""A robot that does not exist, for runs that have none."""

from controller.spec import JointSpec, RobotSpec


def dry_robot(joints: int) -> RobotSpec:
    """Return a robot of so many like joints."""
    return RobotSpec(
        robot_model="dry_robot",
        joints=tuple(
            JointSpec(
                name=f"joint_{number}",
                q_min_rad=-3.0,
                q_max_rad=3.0,
                dq_max_rad_s=10.0,
                tau_max_nm=20.0,
                tau_rate_nm_s=2000.0,
                kp_nm_rad=20.0,
                kd_nms_rad=2.0,
                sources={"*": "invented: a dry run has no robot"},
            )
            for number in range(1, joints + 1)
        ),
    )
