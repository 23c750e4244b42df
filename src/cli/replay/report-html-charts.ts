// The script of the replay report: four plots from the JSON in the page. How plots are drawn is in ../charts/chart-library.ts.
// Plain JavaScript without a library; foreign text only ever becomes textContent.
import { chartLibrary } from "../charts/chart-library.js";

export const chartScript = String.raw`${chartLibrary}
(() => {
  const report = JSON.parse(document.getElementById("report").textContent);
  const points = report.series.points;
  const bucket = report.series.bucket_seconds;

  const { count, percent, clock, time, linearTicks, logTicks, highest, TIME_STEPS, MS_STEPS } = charts;

  const endSeconds = Math.max(points[points.length - 1].at_seconds + bucket, report.elapsed_ms / 1000);
  const timeAxis = { min: 0, max: endSeconds, log: false, ticks: (wanted) => linearTicks(endSeconds, wanted, TIME_STEPS), text: clock };
  const middle = (point) => Math.min(point.at_seconds + bucket / 2, endSeconds);

  /* columns: [name, color, value(point), text(value), fill, width] */
  function overTime(columns, yText, steps) {
    const max = highest(points.flatMap((point) => columns.map(([, , value]) => value(point)))) * 1.06 || 1;
    return {
      lines: columns.map(([name, color, value, , fill, width]) => ({ name, color, fill, width, points: points.map((point) => [middle(point), value(point)]) })),
      x: timeAxis,
      y: { max, ticks: (wanted) => linearTicks(max, wanted, steps && steps.some((step) => max / step <= wanted) ? steps : undefined), text: yText },
      tipAt: (seconds) => {
        const point = points[Math.min(points.length - 1, Math.floor(seconds / bucket))];
        const rows = columns.map(([name, , value, text]) => name + "  " + (value(point) === null ? "none" : text(value(point))));
        return [[clock(point.at_seconds) + (bucket > 1 ? " to " + clock(point.at_seconds + bucket) : "")].concat(rows).join("\n"), middle(point)];
      },
    };
  }

  function distribution() {
    const COLORS = { answer: "c", wait: "d", first_output: "b", total: "a" };
    const shown = report.latencies.filter((latency) => latency.curve.length > 0);
    if (shown.length === 0) return null;
    const values = shown.flatMap((latency) => latency.curve.map(([ms]) => ms));
    const max = Math.max(10, ...values) * 1.05;
    const min = Math.max(0.1, Math.min(max / 10, ...values.filter((ms) => ms > 0)));
    const shareAt = (curve, ms) => curve.reduce((share, [value, upTo]) => (value <= ms ? upTo : share), 0);
    return {
      lines: shown.map((latency) => ({ name: latency.name.replace("_", " "), color: COLORS[latency.name], points: latency.curve.concat([[max, 1]]) })),
      x: { min, max, log: true, ticks: () => logTicks(min, max), text: time },
      y: { max: 1, ticks: () => [0, 0.25, 0.5, 0.75, 1], text: percent },
      tipAt: (ms) => [["at most " + time(ms)].concat(shown.map((latency) => latency.name.replace("_", " ") + "  " + percent(shareAt(latency.curve, ms)))).join("\n"), ms],
    };
  }

  const perSecond = (name) => (point) => point[name] / bucket;
  const rate = (value) => count(value) + "/s";
  const plots = {
    throughput: overTime([["sent", "c", perSecond("sent"), rate], ["completed", "a", perSecond("completed"), rate, true], ["not completed", "d", perSecond("not_completed"), rate]], count),
    "in-flight": overTime([["in flight", "b", (point) => point.in_flight, count, true]], count),
    latency: overTime([["p99", "d", (point) => point.p99_ms, time], ["p95", "c", (point) => point.p95_ms, time], ["p50", "a", (point) => point.p50_ms, time, false, 2]], time, MS_STEPS),
    distribution: distribution(),
  };

  charts.start(plots);
})();
`;
