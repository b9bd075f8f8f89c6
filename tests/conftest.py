"""How property tests look for examples.

By default they look at the same ones each time, so that a change is judged by what it changes; `make test-search` looks
at others each time, and more of them can be asked for with `--hypothesis-seed`.
"""

from hypothesis import HealthCheck, settings

# A busy machine is no defect: examples may take as long as they take.
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("search", PATIENT)
settings.register_profile("same", PATIENT, derandomize=True)
settings.load_profile("same")
