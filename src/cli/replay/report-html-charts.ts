// The script of the replay report: draws four plots as SVG from the JSON in the page, redraws them when the page changes
// width, shows values under the pointer. Plain JavaScript without a library; foreign text only ever becomes textContent.

export const chartScript = String.raw`"use strict";
(() => {
  const report = JSON.parse(document.getElementById("report").textContent);
  const tip = document.getElementById("tip");
  const points = report.series.points;
  const bucket = report.series.bucket_seconds;

  const count = (value) => value.toLocaleString("en-US", { maximumFractionDigits: value < 10 ? 2 : value < 100 ? 1 : 0 });
  const percent = (share) => (share * 100).toFixed(share > 0.99 && share < 1 ? 2 : share > 0 && share < 0.1 ? 1 : 0) + "%";
  const clock = (seconds) => {
    const whole = Math.round(seconds);
    const pad = (value) => String(value).padStart(2, "0");
    return whole < 3600 ? Math.floor(whole / 60) + ":" + pad(whole % 60) : Math.floor(whole / 3600) + ":" + pad(Math.floor(whole / 60) % 60) + ":" + pad(whole % 60);
  };
  const time = (ms) => {
    const short = (value) => String(Number(value.toPrecision(3)));
    if (ms < 1000) return short(ms) + " ms";
    if (ms < 60000) return short(ms / 1000) + " s";
    return ms < 3600000 ? Math.floor(ms / 60000) + " min " + Math.round((ms % 60000) / 1000) + " s" : short(ms / 3600000) + " h";
  };

  function element(name, attributes, parent) {
    const node = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const key in attributes) node.setAttribute(key, attributes[key]);
    if (parent) parent.append(node);
    return node;
  }

  function showTip(text, x, y) {
    tip.textContent = text;
    tip.hidden = false;
    const { width, height } = tip.getBoundingClientRect();
    tip.style.left = Math.max(8, Math.min(x + 14, innerWidth - width - 8)) + "px";
    tip.style.top = Math.max(8, y - height - 12 < 8 ? y + 18 : y - height - 12) + "px";
  }
  const hideTip = () => { tip.hidden = true; };

  function linearTicks(max, wanted, steps) {
    const step = steps ? steps.find((each) => max / each <= wanted) || steps[steps.length - 1] : (() => {
      const raw = max / wanted;
      const power = 10 ** Math.floor(Math.log10(raw));
      return [1, 2, 5, 10].find((factor) => factor * power >= raw) * power;
    })();
    return Array.from({ length: Math.floor(max / step + 1e-9) + 1 }, (_, index) => index * step);
  }
  function logTicks(min, max) {
    const ticks = [];
    for (let power = 10 ** Math.floor(Math.log10(min)); power <= max; power *= 10) ticks.push(power);
    return ticks.filter((tick) => tick >= min);
  }
  const TIME_STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400];
  const MS_STEPS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 15000, 30000, 60000, 120000, 300000, 600000, 1800000, 3600000];

  /* plot: { lines: [{ name, color, points: [[x, y|null]], fill }], x: { min, max, log, ticks, text }, y: { max, ticks, text }, tipAt(x) -> [text, snappedX] } */
  function draw(host, plot) {
    host.textContent = "";
    const legend = document.createElement("div");
    legend.className = "legend";
    for (const line of plot.lines) {
      const item = document.createElement("span");
      const swatch = document.createElement("i");
      swatch.style.background = "var(--" + line.color + ")";
      item.append(swatch, line.name);
      legend.append(item);
    }
    if (plot.lines.length > 1) host.append(legend);
    const width = host.clientWidth;
    const height = host.clientHeight - legend.offsetHeight - 4;
    const left = 52, right = 10, top = 8, bottom = 22;
    const svg = element("svg", { viewBox: "0 0 " + width + " " + height, role: "img", "aria-label": plot.lines.map((line) => line.name).join(", ") });
    svg.style.height = height + "px";
    host.append(svg);
    const { x, y } = plot;
    const place = (value) => (x.log ? Math.log(value / x.min) / Math.log(x.max / x.min) : (value - x.min) / (x.max - x.min || 1));
    const toX = (value) => left + Math.max(0, Math.min(1, place(value))) * (width - left - right);
    const toY = (value) => height - bottom - (value / (y.max || 1)) * (height - top - bottom);
    for (const tick of y.ticks(Math.max(2, Math.floor(height / 45)))) {
      element("line", { class: "gridline", x1: left, x2: width - right, y1: toY(tick), y2: toY(tick) }, svg);
      element("text", { x: left - 8, y: toY(tick) + 4, "text-anchor": "end" }, svg).textContent = y.text(tick);
    }
    for (const tick of x.ticks(Math.max(2, Math.floor(width / 80)))) {
      const anchor = toX(tick) > width - right - 16 ? "end" : "middle";
      element("line", { class: "axis", x1: toX(tick), x2: toX(tick), y1: height - bottom, y2: height - bottom + 4 }, svg);
      element("text", { x: toX(tick), y: height - 4, "text-anchor": anchor }, svg).textContent = x.text(tick);
    }
    element("line", { class: "axis", x1: left, x2: width - right, y1: height - bottom, y2: height - bottom }, svg);
    for (const line of plot.lines) {
      let path = "";
      let open = false;
      for (const [px, py] of line.points) {
        if (py === null) { open = false; continue; }
        path += (open ? "L" : "M") + toX(px).toFixed(1) + " " + toY(py).toFixed(1) + (open ? "" : "h.01");
        open = true;
      }
      if (line.fill && line.points.length > 1) {
        const base = toY(0).toFixed(1);
        const area = path + "L" + toX(line.points[line.points.length - 1][0]).toFixed(1) + " " + base + "L" + toX(line.points[0][0]).toFixed(1) + " " + base + "Z";
        element("path", { d: area, fill: "var(--" + line.color + ")", opacity: 0.14 }, svg);
      }
      element("path", { d: path, fill: "none", stroke: "var(--" + line.color + ")", "stroke-width": line.width || 1.6, "stroke-linejoin": "round", "stroke-linecap": "round" }, svg);
    }
    const cursor = element("line", { class: "cursor", y1: top, y2: height - bottom, visibility: "hidden" }, svg);
    svg.addEventListener("pointermove", (event) => {
      const ratio = Math.max(0, Math.min(1, (event.clientX - svg.getBoundingClientRect().left - left) / (width - left - right)));
      const value = x.log ? x.min * (x.max / x.min) ** ratio : x.min + ratio * (x.max - x.min);
      const [text, at] = plot.tipAt(value);
      cursor.setAttribute("x1", toX(at));
      cursor.setAttribute("x2", toX(at));
      cursor.setAttribute("visibility", "visible");
      showTip(text, event.clientX, event.clientY);
    });
    svg.addEventListener("pointerleave", () => { cursor.setAttribute("visibility", "hidden"); hideTip(); });
  }

  const endSeconds = Math.max(points[points.length - 1].at_seconds + bucket, report.elapsed_ms / 1000);
  const timeAxis = { min: 0, max: endSeconds, log: false, ticks: (wanted) => linearTicks(endSeconds, wanted, TIME_STEPS), text: clock };
  const middle = (point) => Math.min(point.at_seconds + bucket / 2, endSeconds);
  const highest = (values) => values.reduce((most, value) => Math.max(most, value || 0), 0);

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

  for (const host of document.querySelectorAll("[data-plot]")) {
    const plot = plots[host.dataset.plot];
    if (!plot) { host.textContent = "Nothing to show."; continue; }
    let drawnWidth = 0;
    new ResizeObserver(() => {
      if (host.clientWidth === drawnWidth) return;
      drawnWidth = host.clientWidth;
      draw(host, plot);
    }).observe(host);
  }
  for (const host of document.querySelectorAll("[data-tip]")) {
    const show = (event) => {
      const box = host.getBoundingClientRect();
      showTip(host.dataset.tip, event.clientX || box.left + 60, event.clientY || box.top);
    };
    host.addEventListener("pointermove", show);
    host.addEventListener("focus", show);
    host.addEventListener("pointerleave", hideTip);
    host.addEventListener("blur", hideTip);
  }
})();
`;
