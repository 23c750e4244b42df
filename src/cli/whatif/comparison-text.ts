// The outcome of `whatif`: what was measured and what was simulated, a line each.
import { figuresOf } from "../../sim/figures.js";
import { mergedHistogram, meanMs, quantileMs } from "../../sim/log-histogram.js";
import type { Measures } from "../../sim/measure.js";
import { countText, durationText, printable, shareText } from "../quantity-text.js";
import type { Style } from "../style.js";
import { textTable, type Column } from "../text-table.js";

export interface Comparison {
  readonly file: string;
  readonly requests: number;
  readonly gpus: number;
  readonly arrivalsMs: number;
  /** What is not as it was, in words. */
  readonly notes: readonly string[];
  /** Measured, simulated as recorded, then what was tried. */
  readonly rows: readonly Measures[];
}

/** The figures of all requests together: with a promise or without, their callers wait. */
interface Row {
  readonly run: string;
  readonly done: number;
  readonly inSlo: number | null;
  readonly worstUserInSlo: number | null;
  readonly firstOutputP50Ms: number | null;
  readonly firstOutputP95Ms: number | null;
  readonly totalMeanMs: number | null;
  readonly totalP50Ms: number | null;
  readonly totalP95Ms: number | null;
  readonly totalP99Ms: number | null;
  readonly busyShare: number;
}

function rowOf(measures: Measures): Row {
  const { users, interactive, batch } = measures;
  const figures = figuresOf(measures);
  const total = mergedHistogram(users.map(({ response }) => response));
  const first = mergedHistogram(users.map(({ firstOutput }) => firstOutput));
  const requests = interactive.requests + batch.requests;
  return {
    run: measures.policy,
    done: requests === 0 ? 0 : (interactive.completed + batch.completed) / requests,
    inSlo: interactive.requests === 0 ? null : figures.attainment,
    worstUserInSlo: figures.worstUserAttainment,
    firstOutputP50Ms: quantileMs(first, 0.5),
    firstOutputP95Ms: quantileMs(first, 0.95),
    totalMeanMs: meanMs(total),
    totalP50Ms: quantileMs(total, 0.5),
    totalP95Ms: quantileMs(total, 0.95),
    totalP99Ms: quantileMs(total, 0.99),
    busyShare: measures.busyByKind.reduce((sum, { kind, busyShare }) => sum + busyShare * (measures.gpus.find((gpu) => gpu.kind === kind)?.count ?? 0), 0) / Math.max(1, measures.gpus.reduce((sum, { count }) => sum + count, 0)),
  };
}

export function comparisonText({ file, requests, gpus, arrivalsMs, notes, rows }: Comparison, style: Style): string {
  const right = (title: string): Column => ({ title, align: "right" });
  const share = (value: number | null): string => (value === null ? "-" : shareText(value));
  const all = rows.map(rowOf);
  const table = textTable(
    [{ title: "RUN" }, ...["DONE", "IN SLO", "WORST USER", "FIRST P50", "P95", "TOTAL MEAN", "P50", "P95", "P99", "BUSY"].map(right)],
    all.map((row, place) => [
      place === 0 ? style.bold(row.run) : row.run,
      ...[row.done, row.inSlo, row.worstUserInSlo].map(share),
      ...[row.firstOutputP50Ms, row.firstOutputP95Ms, row.totalMeanMs, row.totalP50Ms, row.totalP95Ms, row.totalP99Ms].map(durationText),
      share(row.busyShare),
    ]),
    style.dim,
  );
  return [
    `${style.bold(printable(file))}: ${countText(requests)} requests in ${durationText(arrivalsMs)} on ${countText(gpus)} GPUs\n`,
    ...notes.map((note) => `${style.dim("Note:")} ${printable(note)}\n`),
    "\n",
    table,
    "\n",
    trust(all),
    ...(rows.length > 2 ? [] : ["Try something else with --strategy, --set or --fleet.\n"]),
  ].join("");
}

export function comparisonJson({ rows, ...about }: Comparison): string {
  return `${JSON.stringify({ ...about, rows: rows.map(rowOf) }, null, 2)}\n`;
}

/** How far the simulation is from what was measured: other rows are no better than that. */
function trust([measured, recorded]: readonly Row[]): string {
  const [real, simulated] = [measured?.totalP50Ms, recorded?.totalP50Ms];
  if (!real || !simulated) return "";
  const off = simulated / real - 1;
  return `Simulated as recorded, the median request takes ${off < 0 ? "less" : "more"} time than measured, by ${shareText(Math.abs(off))}: compare simulated rows with each other.\n`;
}
