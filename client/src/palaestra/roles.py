"""What a caller can act as, by name. What each may do is the scheduler's to say."""

VENDOR_ROLES = ("vendor", "engineer", "reader")
"""Of a vendor: itself, with its keys; who works for it; who only looks."""

HOUSE_ROLES = ("operator", "safety", "host", "runner", "gateway")
"""Of the house: who runs it, who stops and takes out of service, and its processes."""
