import { h } from "./dom.js?v=__VERSION__";

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// Lines over time. `series`: [{name, values, before}] over `times` (Unix seconds), `before` drawn dashed behind
// the others; `show` formats a value.
export function lines(title, times, series, show, height = 230) {
  const place = h("div", { class: "chart", role: "img", "aria-label": `${title}: a chart of ${series.map((s) => s.name).join(", ")}` });
  const data = [times, ...series.map((s) => s.values)];
  const alone = series.filter((s) => !s.before).length === 1;
  requestAnimationFrame(() => {
    if (!place.isConnected) return;
    const text = color("--muted"), grid = color("--line");
    const axis = { stroke: text, grid: { stroke: grid, width: 1 }, ticks: { stroke: grid } };
    const options = {
      width: place.clientWidth, height, cursor: { y: false },
      scales: { y: { range: (_, low, high) => [Math.min(0, low), high > 0 ? high * 1.08 : 1] } },
      axes: [axis, { ...axis, size: 64, values: (_, ticks) => ticks.map(show) }],
      series: [{}, ...series.map((s, at) => ({
        label: s.name, stroke: s.before ? text : color(`--series-${(at % 6) + 1}`), width: s.before ? 1.5 : 2, dash: s.before ? [5, 5] : undefined,
        fill: alone && !s.before ? `${color("--series-1")}22` : undefined,
        value: (_, v) => (v === null || v === undefined ? "–" : show(v)), points: { show: times.length < 40 && !s.before },
      }))],
    };
    const plot = new uPlot(options, data, place);
    const watch = new ResizeObserver(() => (place.isConnected ? plot.setSize({ width: place.clientWidth, height }) : (watch.disconnect(), plot.destroy())));
    watch.observe(place);
  });
  return place;
}

// One line of the last values, without axes.
export function spark(title, values) {
  const most = Math.max(1e-12, ...values), width = 220, height = 36, space = "http://www.w3.org/2000/svg";
  const at = (value, i) => `${((width * i) / Math.max(1, values.length - 1)).toFixed(1)},${(height - 2 - ((height - 4) * value) / most).toFixed(1)}`;
  const picture = document.createElementNS(space, "svg"), line = document.createElementNS(space, "polyline");
  for (const [name, value] of Object.entries({ viewBox: `0 0 ${width} ${height}`, class: "spark", role: "img", "aria-label": title, preserveAspectRatio: "none" })) picture.setAttribute(name, value);
  line.setAttribute("points", values.map(at).join(" "));
  picture.append(line);
  return picture;
}
