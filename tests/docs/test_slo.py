"""The alert expressions of the page parse, and ask for nothing that the gateway does not tell."""

import re
from pathlib import Path

import promql_parser
import pytest
import yaml

from gateway_core import Disposition, PressureSettings, Reason, telemetry
from gateway_core.contract import errors

PAGE = (Path(__file__).parents[2] / "docs/reference/slo.md").read_text()
RULES = yaml.safe_load(re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[1])["groups"][0]["rules"]
PARTS = {"histogram": ("_bucket", "_count", "_sum"), "counter": ("_total",), "gauge": ("",)}


def written(name):
    return name.replace(".", "_")


def prometheus_names(metric):
    """How Prometheus' exporter calls a metric."""
    unit = "_seconds" if metric.unit == "s" else ""
    return {f"{written(metric.name)}{unit}{part}" for part in PARTS[metric.kind]}


def selectors(node):
    """Every vector selector below a node of the syntax tree."""
    if isinstance(node, promql_parser.VectorSelector):
        yield node
    for name in ("lhs", "rhs", "expr", "args", "vector_selector"):
        below = getattr(node, name, None)
        for child in below if isinstance(below, list) else [below]:
            if child is not None and not isinstance(child, str):
                yield from selectors(child)


KNOWN = {name: metric for metric in telemetry.METRICS for name in prometheus_names(metric)}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_parses_and_asks_for_what_there_is(rule):
    found = list(selectors(promql_parser.parse(rule["expr"])))
    assert found
    for selector in found:
        metric = KNOWN[selector.name]
        labels = {written(attribute.name) for attribute in metric.attributes} | {"le"}
        assert {matcher.name for matcher in selector.matchers.matchers} <= labels


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_groups_by_labels_that_its_metrics_have(rule):
    grouped = set(re.findall(r"\w+", " ".join(re.findall(r"by \(([^)]*)\)", rule["expr"]))))
    shown = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
    metrics = [KNOWN[s.name] for s in selectors(promql_parser.parse(rule["expr"]))]
    assert shown <= grouped
    assert all(grouped <= {written(a.name) for a in metric.attributes} for metric in metrics)
    assert rule["labels"]["severity"] in {"page", "ticket"}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_bounds_that_an_alert_names_are_bounds_of_the_histogram(rule):
    for selector in selectors(promql_parser.parse(rule["expr"])):
        for matcher in selector.matchers.matchers:
            if matcher.name == "le":
                assert float(matcher.value) in KNOWN[selector.name].bounds


VALUES = {
    "gateway_disposition": {*map(str, Disposition)},
    "error_type": {*map(str, Reason), *vars(errors)},
    "gateway_foreseen": {"true", "false"},
}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_asks_for_values_that_there_are(rule):
    for selector in selectors(promql_parser.parse(rule["expr"])):
        for matcher in selector.matchers.matchers:
            if matcher.name != "le":
                assert set(matcher.value.split("|")) <= VALUES[matcher.name]


def test_the_warnings_of_occupancy_are_the_levels_of_pressure():
    told = [re.search(r"occupancy\) > ([\d.]+)", rule["expr"]) for rule in RULES]
    assert PressureSettings().thresholds == tuple(float(found[1]) for found in told if found)


def test_every_indicator_is_a_metric_of_the_schema():
    named = set(re.findall(r"^\|[^|]+\| `([\w.]+)` \|", PAGE, re.MULTILINE))
    assert named
    assert named <= {metric.name for metric in telemetry.METRICS}


def test_what_the_operator_asks_in_trouble_is_there():
    """Every expression of that table parses and asks for metrics and labels of the schema."""
    page = (Path(__file__).parents[2] / "docs/reference/telemetry.md").read_text()
    table = page.split("## Troubleshooting queries", 1)[1].split("##", 1)[0]
    asked = re.findall(r"`([^`]*gateway_[^`]*)`", table)
    assert len(asked) >= 8
    for expression in asked:
        for selector in selectors(promql_parser.parse(expression)):
            labels = {written(attribute.name) for attribute in KNOWN[selector.name].attributes}
            assert {matcher.name for matcher in selector.matchers.matchers} <= labels
            grouped = re.findall(r"by \(([^)]*)\)", expression)
            assert set(re.findall(r"\w+", " ".join(grouped))) <= labels


def test_an_expression_that_is_none_does_not_parse():
    """The parser is one that refuses."""
    with pytest.raises(ValueError, match="unclosed"):
        promql_parser.parse("sum(rate(x[5m])")
