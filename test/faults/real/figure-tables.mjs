// The figures of a run as tables in Markdown, for people and for docs/faults.md. Called by main.mjs.

/** What the kills and the measurements of the time to re-dispatch have left. */
export function figureTables(figures) {
  return [killTable(figures), timeTable(figures)].filter((text) => text !== "").join("\n");
}

function killTable(figures) {
  const rows = ["router-kills", "agent-kills"].flatMap((name) => {
    const row = figures[name];
    return row ? [[name.replace("-", " "), row.kills, row.acknowledged, row.ended, row.lost, row.changed, row.once.runs, row.once.overlapping.length]] : [];
  });
  return table(["", "kills", "acknowledged", "ended", "lost", "ended twice", "runs that must not overlap", "overlapped"], rows);
}

function timeTable(figures) {
  const measured = Object.entries(figures).filter(([key]) => key.startsWith("redispatch-"));
  const rows = measured.map(([, { name, runs, p50Ms, p95Ms, p99Ms, maxMs, how }]) => [name, runs, p50Ms, p95Ms, p99Ms, maxMs, how]);
  return table(["ms from death to re-dispatch", "runs", "p50", "p95", "p99", "max", "by"], rows);
}

function table(header, rows) {
  if (rows.length === 0) return "";
  const lines = [header, ...rows.map((row) => row.map(String))];
  const widths = header.map((_, column) => Math.max(...lines.map((line) => line[column].length)));
  const [head, ...body] = lines.map((line) => `| ${line.map((cell, column) => (column === 0 ? cell.padEnd(widths[0]) : cell.padStart(widths[column]))).join(" | ")} |`);
  return ["", head, `|${widths.map((width) => "-".repeat(width + 2)).join("|")}|`, ...body].join("\n");
}
