"""What the contract says of itself: every method that the scheduler serves, found and not listed."""

import pkgutil
from importlib import import_module

from google.protobuf.descriptor import MethodDescriptor

import palaestra.v1

# Served by unit hosts, and opened by a lease's token.
ELSEWHERE = {"SlotService", "UnitHostService"}


def _methods() -> dict[str, MethodDescriptor]:
    modules = [found.name for found in pkgutil.iter_modules(palaestra.v1.__path__) if found.name.endswith("_pb2")]
    return {
        f"{service.name}/{method.name}": method
        for module in sorted(modules)
        for service in import_module(f"palaestra.v1.{module}").DESCRIPTOR.services_by_name.values()
        for method in service.methods
        if service.name not in ELSEWHERE
    }


METHODS: dict[str, MethodDescriptor] = _methods()
"""By "Service/Method"."""
