// What real and simulated runs are compared by: the figures, their spread, the table, and the order that they put strategies in.
import { meanMs, quantileMs } from "../../src/sim/log-histogram.js";
import { attainmentOf, type Measures } from "../../src/sim/measure.js";

export type FigureName = "mean response, ms" | "first output p95, ms" | "attainment, %";
export type Figures = Readonly<Record<FigureName, number>>;
export const FIGURE_NAMES: readonly FigureName[] = ["mean response, ms", "first output p95, ms", "attainment, %"];

/** One figure of one strategy: what happened, and what several simulated runs said. */
export interface Compared {
  readonly strategy: string;
  readonly name: FigureName;
  readonly real: number;
  /** Mean of the simulated runs, and the least and the most of them. */
  readonly simulated: number;
  readonly least: number;
  readonly most: number;
  /** Their standard deviation. */
  readonly scatter: number;
}

/** One more run than six lies within so many standard deviations of their mean 99 times of 100: Student's t for 5 degrees, 4.03, times the root of 1 + 1/6. */
const ANOTHER_RUN = 4.35;

export function figuresOf(measures: Measures): Figures {
  return {
    "mean response, ms": meanMs(measures.response) ?? Number.NaN,
    "first output p95, ms": quantileMs(measures.firstOutput, 0.95) ?? Number.NaN,
    "attainment, %": 100 * attainmentOf(measures.interactive),
  };
}

export function compared(strategy: string, real: Figures, simulated: readonly Figures[]): Compared[] {
  return FIGURE_NAMES.map((name) => {
    const values = simulated.map((figures) => figures[name]);
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    const scatter = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / Math.max(1, values.length - 1));
    return { strategy, name, real: real[name], simulated: mean, least: Math.min(...values), most: Math.max(...values), scatter };
  });
}

/** Relative to what was simulated; 0.1 when what happened is a tenth more. */
export function difference({ real, simulated }: Compared): number {
  return real / simulated - 1;
}

/** Whether what happened differs from the prediction by `tolerance` at most, or by no more than one more of six simulated runs would, 99 times of 100. */
export function agrees(figure: Compared, tolerance: number): boolean {
  return Math.abs(difference(figure)) <= tolerance || Math.abs(figure.real - figure.simulated) <= ANOTHER_RUN * figure.scatter;
}

/** Pairs of strategies that the simulator tells apart by a figure, whatever the seed, and that came out the other way round. */
export function misranked(all: readonly Compared[]): string[] {
  return FIGURE_NAMES.flatMap((name) => {
    const ofName = all.filter((figure) => figure.name === name);
    return ofName.flatMap((lower) => ofName.filter((higher) => lower.most < higher.least && lower.real >= higher.real).map((higher) => `${name}: ${lower.strategy} and ${higher.strategy}`));
  });
}

/** As a table in Markdown. */
export function comparisonTable(all: readonly Compared[]): string {
  const rows = all.map((figure) => {
    const digits = figure.name === "attainment, %" ? 1 : 0;
    const [real, simulated, least, most] = [figure.real, figure.simulated, figure.least, figure.most].map((value) => value.toFixed(digits));
    const percent = 100 * difference(figure);
    return `| \`${figure.strategy}\` | ${figure.name} | ${real} | ${simulated} | ${least} to ${most} | ${percent < 0 ? "−" : "+"}${Math.abs(percent).toFixed(1)} % |`;
  });
  return ["| strategy | figure | real | simulated | of simulated runs | difference |", "|---|---|--:|--:|---|--:|", ...rows].join("\n");
}
