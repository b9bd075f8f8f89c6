"""How fairly a venue was shared, computed from what its leases were."""
