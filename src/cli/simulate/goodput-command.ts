// `simulate --goodput`: for each policy the largest load that it carries within the SLO, beside what no scheduler could exceed.
import { boundOf } from "../../sim/bound-of.js";
import { figuresOf, type Figures } from "../../sim/figures.js";
import { DEFAULT_GOAL, goodput } from "../../sim/goodput.js";
import type { Policy } from "../../sim/policies.js";
import { PoolClosed, type TrialPool } from "../../sim/trial-pool.js";
import { evaluate, type Study } from "../../sim/trials.js";
import { durationText, shareText } from "../quantity-text.js";
import type { Style } from "../style.js";
import { textTable, type Column } from "../text-table.js";

/** Goodput is first looked for at this share of the fluid bound. */
const GUESS = 0.25;

export interface GoodputRow {
  readonly policy: string;
  readonly load: number;
  readonly figures: Figures | null;
  readonly tried: readonly { readonly load: number; readonly attainment: number | null }[];
}

export interface GoodputReport {
  readonly scenario: string;
  readonly fluidBound: number;
  /** Policies whose search was done, in their order. */
  readonly policies: readonly GoodputRow[];
}

/** Searches side by side; what is stopped is left out. */
export async function searchGoodput(pool: TrialPool, study: Study, policies: readonly Policy[]): Promise<GoodputReport> {
  const fluidBound = await boundOf(study);
  const rows = await Promise.all(
    policies.map(async (policy): Promise<GoodputRow | null> => {
      try {
        const found = await goodput((load) => evaluate(pool, study, policy, load), DEFAULT_GOAL, fluidBound * GUESS);
        const tried = found.tried.map(({ load, measures }) => ({ load, attainment: measures && figuresOf(measures).attainment }));
        return { policy: policy.name, load: found.load, figures: found.measures && figuresOf(found.measures), tried };
      } catch (error) {
        if (error instanceof PoolClosed) return null;
        throw error;
      }
    }),
  );
  return { scenario: study.scenario.name, fluidBound, policies: rows.filter((row) => row !== null) };
}

export function goodputText({ fluidBound, policies }: GoodputReport, style: Style): string {
  const right = (title: string): Column => ({ title, align: "right" });
  const rows = policies.map(({ policy, load, figures }) => [
    policy,
    load === 0 ? "none" : String(load),
    shareText(load / fluidBound),
    ...(figures === null
      ? ["-", "-", "-", "-", "-", "-", "-"]
      : [
          shareText(figures.attainment),
          shareText(figures.attainmentSpread.deviation),
          figures.worstUserAttainment === null ? "-" : shareText(figures.worstUserAttainment),
          figures.batchCompletion === null ? "-" : shareText(figures.batchCompletion),
          durationText(figures.firstOutput.p95Ms),
          durationText(figures.firstOutput.p99Ms),
          shareText(figures.busyShare),
        ]),
  ]);
  const beyond = policies.some(({ load }) => load > fluidBound);
  const head = [{ title: "POLICY" }, ...["GOODPUT", "OF THE BOUND", "IN SLO", "± SEEDS", "WORST USER", "BATCH", "FIRST P95", "P99", "BUSY"].map(right)];
  return `${textTable(head, rows, style.dim)}Goodput: the largest load with 95% of requests in their SLO, every user at least 90%, batch work 90% done; to 3%.\nThe fluid bound, which no scheduler exceeds in the long run, is at load ${fluidBound.toFixed(2)}.\n${beyond ? "This run is so short that more seems to be carried: batch work still ends in the two minutes after it. Give more --minutes.\n" : ""}`;
}
