import { h } from "./dom.js?v=__VERSION__";

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// Lines over time. `series`: [{name, values}] over `times` (Unix seconds); `show` formats a value.
export function lines(title, times, series, show, stacked = false) {
  const place = h("div", { class: "chart", role: "img", "aria-label": `${title}: a chart of ${series.map((s) => s.name).join(", ")}` });
  const data = [times, ...series.map((s) => s.values)];
  requestAnimationFrame(() => {
    if (!place.isConnected) return;
    const text = color("--muted"), grid = color("--line");
    const axis = { stroke: text, grid: { stroke: grid, width: 1 }, ticks: { stroke: grid } };
    const options = {
      width: place.clientWidth, height: 230, cursor: { y: false },
      scales: { y: { range: (_, low, high) => [Math.min(0, low), high > 0 ? high * 1.08 : 1] } },
      axes: [axis, { ...axis, size: 64, values: (_, ticks) => ticks.map(show) }],
      series: [{}, ...series.map((s, at) => ({
        label: s.name, stroke: color(`--series-${(at % 6) + 1}`), width: 2,
        fill: series.length === 1 ? `${color("--series-1")}22` : undefined,
        value: (_, v) => (v === null || v === undefined ? "–" : show(v)), points: { show: times.length < 40 },
      }))],
    };
    const plot = new uPlot(options, data, place);
    new ResizeObserver(() => plot.setSize({ width: place.clientWidth, height: 230 })).observe(place);
  });
  return place;
}
