"""A snapshot as text that Prometheus reads: the classic text format, or OpenMetrics with exemplars.

(prometheus.io/docs/instrumenting/exposition_formats, OpenMetrics 1.0.) The heads of lines are kept
from scrape to scrape, so that thousands of series take milliseconds of the event loop.
"""

from collections.abc import Sequence

from .declared import Metric
from .series import Exemplar, Labels, Snapshot

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


class Exposition:
    def __init__(self, metrics: Sequence[Metric]) -> None:
        self._metrics = metrics
        self._heads: dict[tuple[str, Labels], list[str]] = {}

    def render(self, snapshot: Snapshot, accept: str) -> tuple[bytes, str]:
        """The exposition and its content type, in the format that the scraper accepts."""
        openmetrics = "application/openmetrics-text" in accept
        lines: list[str] = []
        for metric in self._metrics:
            points = snapshot.get(metric.name)
            if not points:
                continue
            family = metric.name
            if openmetrics and metric.kind == "counter":
                family = family.removesuffix("_total")
            lines.append(f"# HELP {family} {_help(metric.help, openmetrics)}")
            lines.append(f"# TYPE {family} {metric.kind}")
            for point in points:
                heads = self._heads.get((metric.name, point.labels))
                if heads is None:
                    heads = self._heads[(metric.name, point.labels)] = _line_heads(
                        metric, point.labels
                    )
                if metric.kind != "histogram":
                    lines.append(heads[0] + _number(point.value))
                    continue
                total = 0
                for bucket, count in enumerate(point.counts):
                    total += count
                    line = f"{heads[bucket]}{total}"
                    exemplar = point.exemplars.get(bucket) if openmetrics else None
                    lines.append(line if exemplar is None else line + _exemplar(exemplar))
                lines.append(f"{heads[-2]}{total}")
                lines.append(heads[-1] + _number(point.value))
        if openmetrics:
            lines.append("# EOF")
        lines.append("")
        return "\n".join(lines).encode(), OPENMETRICS if openmetrics else TEXT


def _line_heads(metric: Metric, labels: Labels) -> list[str]:
    """The beginning of each line of a series, up to its value: one, or a histogram's buckets, count, sum."""
    pairs = [
        f'{name}="{_label_value(value)}"'
        for name, value in sorted(zip(metric.labels, labels, strict=True))
    ]
    if metric.kind != "histogram":
        return [_head(metric.name, pairs)]
    bounds = [_number(float(bound)) for bound in metric.buckets] + ["+Inf"]
    return [
        *(_head(f"{metric.name}_bucket", [*pairs, f'le="{bound}"']) for bound in bounds),
        _head(f"{metric.name}_count", pairs),
        _head(f"{metric.name}_sum", pairs),
    ]


def _head(name: str, pairs: list[str]) -> str:
    return f"{name}{{{','.join(pairs)}}} " if pairs else f"{name} "


def _label_value(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _help(text: str, openmetrics: bool) -> str:
    escaped = text.replace("\\", "\\\\").replace("\n", "\\n")
    return escaped.replace('"', '\\"') if openmetrics else escaped


def _number(value: float) -> str:
    if value == float("inf"):
        return "+Inf"
    return repr(value) if value != int(value) or abs(value) >= 1e15 else f"{int(value)}.0"


def _exemplar(exemplar: Exemplar) -> str:
    return f' # {{trace_id="{exemplar.trace_id}"}} {exemplar.value!r} {exemplar.at:.3f}'
