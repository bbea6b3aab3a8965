"""What a bad night told against the schema, both ways."""

import re

import pytest
from opentelemetry.semconv._incubating.attributes import messaging_attributes
from opentelemetry.semconv._incubating.metrics import messaging_metrics
from opentelemetry.semconv.attributes.error_attributes import ERROR_TYPE

from gateway_contrib.emulators.faults import Fault
from gateway_core import Disposition, telemetry


def names(things):
    return {thing.name for thing in things}


def test_what_is_named_like_the_convention_is_in_it():
    """`messaging.…` and `error.…` are OpenTelemetry's to name; what it has no word for is ours."""
    known = {value for value in vars(messaging_attributes).values() if isinstance(value, str)}
    ours = names(telemetry.ATTRIBUTES)
    assert {name for name in ours if name.startswith("messaging.")} <= known
    assert {name for name in ours if name.startswith("error.")} == {ERROR_TYPE}
    assert {
        name for name in ours if not name.startswith(("gateway.", "messaging.", "error."))
    } == set()
    metrics = [m.name for m in telemetry.METRICS if not m.name.startswith("gateway.")]
    assert metrics == [messaging_metrics.MESSAGING_CLIENT_OPERATION_DURATION]


def test_every_fault_of_the_emulators_was_met_on_each_platform(night):
    assert dict.fromkeys(Fault, 3) == night.faults


def test_every_metric_of_the_schema_comes_and_no_other(night):
    assert names(telemetry.METRICS) == set(night.points)


def test_metrics_have_the_attributes_of_the_schema(night):
    """Each of them comes somewhere, and nothing besides."""
    declared = {metric.name: names(metric.attributes) for metric in telemetry.METRICS}
    emitted = {name: set().union(*points) for name, points in night.points.items()}
    assert declared == emitted


CLOSED = [a for a in telemetry.ATTRIBUTES if a.values.startswith("`")]
"""Those whose values are a list of words."""


@pytest.mark.parametrize("attribute", CLOSED, ids=lambda attribute: attribute.name)
def test_every_word_of_a_list_comes_and_no_other(night, attribute):
    """On metrics, spans and their events taken together."""
    assert set(re.findall("`([^`]+)`", attribute.values)) == values_of(night, attribute.name)


def test_every_disposition_comes(night):
    assert {str(disposition) for disposition in Disposition} == values_of(
        night, telemetry.DISPOSITION.name
    )


def test_the_time_waiting_has_every_cause(night):
    waits = night.points[telemetry.WAIT_DURATION.name]
    assert values_of(night, telemetry.CAUSE.name) == {w[telemetry.CAUSE.name] for w in waits}


def values_of(night, name):
    """The words that an attribute had anywhere."""
    told = [point for points in night.points.values() for point in points]
    for span in night.exporter.get_finished_spans():
        told += [span.attributes, *(event.attributes for event in span.events)]
    return {spelled(one[name]) for one in told if name in one}


def spelled(value):
    return str(value).lower() if isinstance(value, bool) else str(value)


def test_spans_have_the_names_attributes_and_events_of_the_schema(night):
    kinds = {"PRODUCER": telemetry.ENVELOPE_SPAN, "CLIENT": telemetry.ATTEMPT_SPAN}
    seen = {kind: (set(), {}) for kind in kinds}
    for span in night.exporter.get_finished_spans():
        attributes, events = seen[span.kind.name]
        attributes.update(span.attributes)
        for event in span.events:
            events.setdefault(event.name, set()).update(event.attributes)
    for kind, declared in kinds.items():
        attributes, events = seen[kind]
        assert names(declared.attributes) == attributes
        assert {event.name: names(event.attributes) for event in declared.events} == events


ELSEWHERE = {
    # An asyncio loop must end, or a process exit, under an open gateway: in processes of their own,
    # core/bridge/test_processes.py::test_a_loop_that_ends_with_the_gateway_open_loses_nothing.
    str(telemetry.LOOP_ENDED),
    # Two outboxes in one database: `test_the_second_is_refused_or_stands_by…` in
    # contrib/postgres/test_postgres_owner.py.
    str(telemetry.OUTBOX_STANDS_BY),
    str(telemetry.OUTBOX_TAKEN_OVER),
    # Another session with the lock for migrations: contrib/postgres/test_postgres_migrating.py.
    str(telemetry.OUTBOX_MIGRATION_WAITS),
    # What another owner's key seals: contrib/postgres/test_postgres_sealed_handing.py.
    str(telemetry.OUTBOX_KEY_MISSING),
    # Several processes, over which accounts are spread: core/spread/test_spread.py.
    str(telemetry.ACCOUNT_OWNED),
    str(telemetry.ACCOUNT_MOVED),
    # Accounts that a source gives: core/sourcing, each of its tests.
    str(telemetry.INSTANCE_FOUND),
    str(telemetry.INSTANCE_FORGOTTEN),
    str(telemetry.INSTANCE_SOURCE_FAILED),
    # A mistake of the gateway's own, in what it answers others: core/producers/test_questions.py.
    str(telemetry.REQUEST_CRASHED),
    # A message that another process handed over: contrib/postgres/test_postgres_handed.py.
    str(telemetry.REQUEST_REFUSED),
    # An account as which the role may not send: core/spread/test_suspensions.py.
    str(telemetry.SUSPENSION_REFUSED),
}
"""Events that no night can cause."""


def test_every_log_event_of_the_schema_comes_at_its_level_with_its_fields(night):
    declared = {str(event): (event.level, set(event.fields)) for event in telemetry.EVENTS}
    emitted = {}
    for name, level, fields in night.logs:
        if name.startswith("gateway."):
            emitted.setdefault(name, (level, set()))[1].update(fields)
    assert set(declared) >= ELSEWHERE
    expected = {name: told for name, told in declared.items() if name not in ELSEWHERE}
    assert expected == emitted
