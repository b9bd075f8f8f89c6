"""What a vendor's program steps worlds of a venue with: Gymnasium's `VectorEnv` over a leased slot.

    import palaestra

    with palaestra.connect() as client, client.slots(robot="unitree_go1", task="walk", worlds=64) as env:
        obs, info = env.reset(seed=7)
        obs, reward, terminated, truncated, info = env.step(env.action_space.sample())

Comes with the SDK; needs NumPy and Gymnasium: `pip install "palaestra[env]"`.
"""
