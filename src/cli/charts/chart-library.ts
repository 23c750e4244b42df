// What plots on the report pages are drawn with: scales, ticks, lines, a legend, values under the pointer. The source of a script that goes
// into a page: plain JavaScript without a library; foreign text only ever becomes textContent. The page has an element #tip.

/** Defines `charts` with `start(plots)`, which draws each plot into the element with its name in data-plot. */
export const chartLibrary = String.raw`"use strict";
const charts = (() => {
  const tip = document.getElementById("tip");
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

  const DASHES = { dashed: "7 4", dotted: "2 3", long: "12 4 2 4" };
  function swatchOf({ color, dash }) {
    const paint = "var(--" + color + ")";
    const gap = { dashed: [4, 7], dotted: [2, 4], long: [6, 8] }[dash];
    return gap ? "repeating-linear-gradient(90deg," + paint + " 0 " + gap[0] + "px,transparent " + gap[0] + "px " + gap[1] + "px)" : paint;
  }

  /* plot: { lines: [{ name, color, points: [[x, y|null]], fill, dash, markers, label }], x: { min, max, log, ticks, text }, y: { max, min, log, ticks, text }, tipAt(x) -> [text, snappedX] } */
  function draw(host, plot) {
    host.textContent = "";
    const legend = document.createElement("div");
    legend.className = "legend";
    for (const line of plot.lines) {
      const item = document.createElement("span");
      const swatch = document.createElement("i");
      swatch.style.background = swatchOf(line);
      item.append(swatch, line.label ? line.label + " " + line.name : line.name);
      legend.append(item);
    }
    if (plot.lines.length > 1) host.append(legend);
    const width = host.clientWidth;
    const height = host.clientHeight - legend.offsetHeight - 4;
    const left = 58, right = plot.lines.some((line) => line.label) ? 30 : 10, top = 8, bottom = 22;
    const svg = element("svg", { viewBox: "0 0 " + width + " " + height, role: "img", "aria-label": plot.lines.map((line) => line.name).join(", ") });
    svg.style.height = height + "px";
    host.append(svg);
    const { x, y } = plot;
    const place = (value) => (x.log ? Math.log(value / x.min) / Math.log(x.max / x.min) : (value - x.min) / (x.max - x.min || 1));
    const toX = (value) => left + Math.max(0, Math.min(1, place(value))) * (width - left - right);
    const floor = y.min || 0;
    const rise = (value) => (y.log ? Math.log(Math.max(value, floor) / floor) / Math.log(y.max / floor) : (value - floor) / (y.max - floor || 1));
    const toY = (value) => height - bottom - Math.max(0, Math.min(1, rise(value))) * (height - top - bottom);
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
        const base = toY(floor).toFixed(1);
        const area = path + "L" + toX(line.points[line.points.length - 1][0]).toFixed(1) + " " + base + "L" + toX(line.points[0][0]).toFixed(1) + " " + base + "Z";
        element("path", { d: area, fill: "var(--" + line.color + ")", opacity: 0.14 }, svg);
      }
      element("path", { d: path, fill: "none", stroke: "var(--" + line.color + ")", "stroke-width": line.width || 1.6, "stroke-dasharray": DASHES[line.dash] || "none", "stroke-linejoin": "round", "stroke-linecap": "round" }, svg);
      if (line.markers) for (const [px, py] of line.points) if (py !== null) element("circle", { cx: toX(px), cy: toY(py), r: 3, fill: "var(--" + line.color + ")" }, svg);
    }
    /* A short name at the end of each line, moved down where it would lie on another. */
    let free = -Infinity;
    const ends = plot.lines.filter((line) => line.label).map((line) => ({ line, end: line.points.filter(([, py]) => py !== null).pop() })).filter(({ end }) => end);
    for (const { line, end } of ends.sort((one, other) => toY(one.end[1]) - toY(other.end[1]))) {
      const at = Math.max(free, toY(end[1]) + 4);
      free = at + 12;
      element("text", { x: width - right + 4, y: Math.min(at, height - bottom), style: "fill:var(--" + line.color + ");font-weight:600" }, svg).textContent = line.label;
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

  const highest = (values) => values.reduce((most, value) => Math.max(most, value || 0), 0);
  /* Draws plots where the page has room for them, and again when the room changes; plots may be called again with others. */
  const drawn = new Map();
  function start(plots) {
    for (const host of document.querySelectorAll("[data-plot]")) {
      const plot = plots[host.dataset.plot];
      if (!plot) { host.textContent = "Nothing to show."; continue; }
      const before = drawn.get(host);
      drawn.set(host, { plot, width: 0 });
      if (before) { drawn.get(host).width = host.clientWidth; draw(host, plot); continue; }
      new ResizeObserver(() => {
        const current = drawn.get(host);
        if (host.clientWidth === current.width) return;
        current.width = host.clientWidth;
        draw(host, current.plot);
      }).observe(host);
    }
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
  return { count, percent, clock, time, linearTicks, logTicks, highest, start, TIME_STEPS, MS_STEPS };
})();
`;
