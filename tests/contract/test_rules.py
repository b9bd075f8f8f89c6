"""The rules beside the fields are complete enough, and each pattern compiles."""

import re

from google.protobuf.descriptor import FieldDescriptor

from palaestra.errors import REASONS
from palaestra.v1 import (
    episode_service_pb2,
    host_service_pb2,
    job_service_pb2,
    rules_pb2,
    runner_service_pb2,
    unit_host_service_pb2,
    venue_service_pb2,
)

SERVICES = (
    episode_service_pb2,
    host_service_pb2,
    job_service_pb2,
    runner_service_pb2,
    unit_host_service_pb2,
    venue_service_pb2,
)


def requests() -> list[FieldDescriptor]:
    """Return all fields of all request messages."""
    inputs = [
        method.input_type
        for module in SERVICES
        for service in module.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    ]
    return [field for message in inputs for field in message.fields]


def test_every_text_in_a_request_has_a_longest_length() -> None:
    """An unbounded text would let one caller fill the database."""
    unbounded = []
    for field in requests():
        rules = field.GetOptions().Extensions[rules_pb2.rules]
        if field.type == FieldDescriptor.TYPE_STRING and not (rules.HasField("max_len") or rules.HasField("pattern")):
            unbounded.append(field.full_name)

    assert unbounded == []


def test_every_list_in_a_request_has_a_largest_size() -> None:
    unbounded = [
        field.full_name
        for field in requests()
        if field.is_repeated and not field.GetOptions().Extensions[rules_pb2.rules].HasField("max_items")
    ]

    assert unbounded == []


def test_every_pattern_compiles() -> None:
    patterns = [field.GetOptions().Extensions[rules_pb2.rules].pattern for field in requests()]

    assert [re.compile(pattern) for pattern in patterns if pattern]


def test_every_reason_has_a_code_and_a_help() -> None:
    bare = [reason.name for reason in REASONS.values() if reason.code.value[0] == 0 or len(reason.help) < 20]

    assert bare == []
    assert len(REASONS) > 20
