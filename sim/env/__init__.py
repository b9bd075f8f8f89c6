"""Worlds behind the interfaces that learning code knows: Gymnasium, dm_env, LeRobot, Stable-Baselines3, openpi.

    from sim.env.vector import make_vec        # gymnasium.vector.VectorEnv
    from sim.env.single import make            # gymnasium.Env
    from sim.env.dm import DmEnv               # dm_env.Environment
    from sim.env.lerobot import make_env       # as LeRobot's EnvHub calls it
    from sim.env.stable import StableVecEnv    # stable_baselines3's VecEnv
    from sim.env.openpi import PolicyServer    # a published policy server as a policy

Each file needs the package that it speaks to and nothing else of the kind; none is needed by a venue.
"""
