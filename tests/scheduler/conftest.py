"""Settings of the scheduler's tests."""

from hypothesis import HealthCheck, settings

# A busy machine is no defect: examples may take as long as they take.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")
