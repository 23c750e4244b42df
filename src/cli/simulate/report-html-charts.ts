// The script of the simulator's page: what was measured against load, and over time at the chosen load. Drawn by ../charts/chart-library.ts.
// Plain JavaScript without a library; foreign text only ever becomes textContent.
import { chartLibrary } from "../charts/chart-library.js";

export const simulationScript = String.raw`${chartLibrary}
(() => {
  const report = JSON.parse(document.getElementById("report").textContent);
  const { count, percent, clock, time, linearTicks, logTicks, highest, TIME_STEPS } = charts;
  const COLORS = ["a", "c", "b", "d", "e", "f", "h", "g"];
  const DASHES = [undefined, "dashed", "dotted", "long"];
  const policies = [...new Set(report.cells.map((cell) => cell.policy))];
  const loads = [...new Set(report.cells.map((cell) => cell.load))].sort((one, other) => one - other);
  /* Each policy is a letter, a colour and a dash: the letters are those of the table. */
  const look = (index) => ({ color: COLORS[index % COLORS.length], dash: DASHES[(index + Math.floor(index / COLORS.length)) % DASHES.length], label: index < 26 ? String.fromCharCode(65 + index) : String(index + 1) });
  /* 1, 2 and 5 of each power: durations against load span few powers. */
  const ticksBetween = (min, max) => logTicks(10 ** Math.floor(Math.log10(min)), max).flatMap((power) => [power, 2 * power, 5 * power]).filter((tick) => tick >= min && tick <= max);
  const named = (lines) => lines.filter((line) => line.points.some(([, y]) => y !== null));

  function againstLoad(value, text, log) {
    const lines = named(policies.map((policy, index) => ({ name: policy, ...look(index), markers: true, points: report.cells.filter((cell) => cell.policy === policy).map((cell) => [cell.load, value(cell)]).sort((one, other) => one[0] - other[0]) })));
    if (lines.length === 0) return null;
    const values = lines.flatMap((line) => line.points.map(([, y]) => y).filter((y) => y !== null));
    const max = log ? Math.max(...values) * 1.2 : 1;
    const min = log ? Math.max(1, Math.min(...values) / 1.5) : Math.min(0.9, Math.floor(Math.min(...values) * 20) / 20);
    const from = loads[0], to = loads.length > 1 ? loads[loads.length - 1] : loads[0] * 1.5;
    return {
      lines,
      x: { min: from, max: to, log: false, ticks: (wanted) => (loads.length <= wanted ? loads : linearTicks(to, wanted).filter((tick) => tick >= from)), text: (load) => "load " + count(load) },
      y: { min, max, log, ticks: () => (log ? ticksBetween(min, max) : [0, 0.25, 0.5, 0.75, 0.9, 0.95, 1].filter((tick) => tick >= min)), text },
      tipAt: (load) => {
        const near = loads.reduce((best, each) => (Math.abs(each - load) < Math.abs(best - load) ? each : best));
        const rows = report.cells.filter((cell) => cell.load === near).map((cell) => [cell.policy, value(cell)]).filter(([, each]) => each !== null);
        return [["load " + near].concat(rows.map(([policy, each]) => policy + "  " + text(each))).join("\n"), near];
      },
    };
  }

  /* lines: [name, look, values by point]; a point is every_ms long */
  function overTime(lines, everyMs, text, most) {
    const length = highest(lines.map(([, , values]) => values.length));
    if (length === 0) return null;
    const step = everyMs / 1000;
    const end = length * step;
    const max = most || highest(lines.flatMap(([, , values]) => values)) * 1.06 || 1;
    return {
      lines: lines.map(([name, style, values]) => ({ name, ...style, points: values.map((value, index) => [(index + 0.5) * step, value]) })),
      x: { min: 0, max: end, log: false, ticks: (wanted) => linearTicks(end, wanted, TIME_STEPS), text: clock },
      y: { max, ticks: (wanted) => (most === 1 ? [0, 0.25, 0.5, 0.75, 1] : linearTicks(max, wanted)), text },
      tipAt: (seconds) => {
        const index = Math.min(length - 1, Math.floor(seconds / step));
        return [[clock(index * step)].concat(lines.map(([name, , values]) => name + "  " + (values[index] === undefined || values[index] === null ? "none" : text(values[index])))).join("\n"), (index + 0.5) * step];
      },
    };
  }

  function firstOutput(cells) {
    const shown = cells.filter(({ cell }) => cell.first_output_curve.length > 0);
    if (shown.length === 0) return null;
    const values = shown.flatMap(({ cell }) => cell.first_output_curve.map(([ms]) => ms));
    const min = Math.max(1, Math.min(...values));
    const max = Math.max(...values) * 1.05;
    const shareAt = (curve, ms) => curve.reduce((share, [value, upTo]) => (value <= ms ? upTo : share), 0);
    return {
      lines: shown.map(({ cell, style }) => ({ name: cell.policy, ...style, label: undefined, points: cell.first_output_curve.concat([[max, 1]]) })),
      x: { min, max, log: true, ticks: () => logTicks(10 ** Math.ceil(Math.log10(min)), max), text: time },
      y: { max: 1, ticks: () => [0, 0.25, 0.5, 0.75, 1], text: percent },
      tipAt: (ms) => [["at most " + time(ms)].concat(shown.map(({ cell }) => cell.policy + "  " + percent(shareAt(cell.first_output_curve, ms)))).join("\n"), ms],
    };
  }

  /* Ratios of few requests jump: half a minute at a time. */
  function keptOver({ arrived, kept, every_ms }) {
    const wide = Math.max(1, Math.round(30000 / every_ms));
    return arrived.map((_, index) => {
      const sum = (values) => values.slice(Math.max(0, index - wide + 1), index + 1).reduce((total, value) => total + value, 0);
      return sum(arrived) === 0 ? null : sum(kept) / sum(arrived);
    });
  }

  function plotsAt(load) {
    const cells = report.cells.filter((cell) => cell.load === load).map((cell) => ({ cell, style: look(policies.indexOf(cell.policy)) }));
    const every = cells.length > 0 ? cells[0].cell.timeline.every_ms : 1000;
    const series = (of) => cells.map(({ cell, style }) => [cell.policy, style, of(cell.timeline)]);
    const plots = {
      "first-output": firstOutput(cells),
      busy: overTime(series(({ busy }) => busy), every, percent, 1),
      running: overTime(series(({ running }) => running), every, count),
      kept: overTime(series(keptOver), every, percent, 1),
    };
    policies.forEach((policy, index) => {
      const own = cells.find(({ cell }) => cell.policy === policy);
      plots["waiting-" + index] = own ? overTime(own.cell.timeline.waiting.map((values, priority) => ["priority " + (priority + 1), { color: COLORS[priority], dash: DASHES[priority % DASHES.length], label: String(priority + 1) }, values]).filter(([, , values]) => values.some((value) => value > 0)), every, count) : null;
    });
    return plots;
  }

  const fixed = {
    attainment: againstLoad((cell) => cell.attainment, percent, false),
    p95: againstLoad((cell) => cell.first_output.p95_ms, time, true),
    mean: againstLoad((cell) => cell.response.mean_ms, time, true),
    p99: againstLoad((cell) => cell.response.p99_ms, time, true),
  };
  const choice = document.getElementById("load");
  const redraw = () => {
    const load = choice ? Number(choice.value) : loads[0];
    charts.start({ ...fixed, ...plotsAt(load) });
  };
  if (choice) choice.addEventListener("change", redraw);
  redraw();
})();
`;
