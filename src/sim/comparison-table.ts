// Puts the comparisons of several scenarios into the table of what was promised: what is wanted, what came out, on which scenario.
import type { DurationFigures, Figures } from "./figures.js";
import type { Comparison, Duel } from "./comparison.js";

export interface Verdict {
  readonly what: string;
  readonly against: "least_loaded" | "best_peer" | "fleet";
  /** As the requirement has it, such as "at least 4x". */
  readonly wanted: string;
  /** As text of the same kind; "-" when it could not be measured. */
  readonly measured: string;
  readonly value: number | null;
  readonly reached: boolean | null;
  readonly scenario: string;
}

interface Wish {
  readonly what: string;
  readonly against: Verdict["against"];
  readonly least: number;
  readonly kind: "times" | "less" | "share";
  readonly of: (comparison: Comparison) => number | null;
  /** Whether it must hold on every scenario; else on the first alone. */
  readonly everywhere?: true;
}

const duelAgainst = (against: "least_loaded" | "best_peer") => (comparison: Comparison): Duel => (against === "least_loaded" ? comparison.leastLoaded : comparison.bestPeer);

function duelWishes(against: "least_loaded" | "best_peer", least: Readonly<Record<"goodput" | "anywhere" | "mean" | "p95" | "p99" | "gpus", number>>): Wish[] {
  const duelOf = duelAgainst(against);
  const saved = (of: (figures: Figures) => number | null) => (comparison: Comparison) => {
    const { rival: other, hybrid } = duelOf(comparison);
    const [ours, theirs] = [hybrid && of(hybrid), other.figures && of(other.figures)];
    return ours === null || theirs === null || theirs === 0 ? null : 1 - ours / theirs;
  };
  const ratio = (comparison: Comparison): number | null => (duelOf(comparison).rival.load === 0 ? null : comparison.hybrid.load / duelOf(comparison).rival.load);
  const first = (of: keyof DurationFigures) => saved(({ firstOutput }) => firstOutput[of]);
  return [
    { what: "goodput", against, least: least.goodput, kind: "times", of: ratio },
    { what: "goodput, worst scenario", against, least: least.anywhere, kind: "times", of: ratio, everywhere: true },
    { what: "mean response at equal load", against, least: least.mean, kind: "less", of: saved(({ response }) => response.meanMs) },
    { what: "first output p95 at equal load", against, least: least.p95, kind: "less", of: first("p95Ms") },
    { what: "first output p99 at equal load", against, least: least.p99, kind: "less", of: first("p99Ms") },
    ...["1", "2.5"].map((load): Wish => ({
      what: `GPUs for load ${load} within the SLO`,
      against,
      least: least.gpus,
      kind: "less",
      of: ({ gpusFor }) => {
        const counted = gpusFor.find((each) => each.load === Number(load));
        const theirs = against === "least_loaded" ? counted?.leastLoaded : counted?.bestPeer;
        return typeof counted?.hybrid === "number" && typeof theirs === "number" ? 1 - counted.hybrid / theirs : null;
      },
    })),
  ];
}

const WISHES: readonly Wish[] = [
  ...duelWishes("least_loaded", { goodput: 4, anywhere: 1.8, mean: 0.45, p95: 0.6, p99: 0, gpus: 0.65 }),
  ...duelWishes("best_peer", { goodput: 1.4, anywhere: 1, mean: 0.2, p95: 0.25, p99: 0, gpus: 0.25 }),
  { what: "GPUs busy at the goodput", against: "fleet", least: 0.8, kind: "share", of: ({ hybrid }) => hybrid.figures?.busyShare ?? null },
  { what: "share of the fluid bound", against: "fleet", least: 0.45, kind: "share", of: ({ hybrid, fluidBound }) => hybrid.load / fluidBound },
];

/** The table; the first scenario is the one that counts where one is enough. At least one comparison. */
export function verdicts(comparisons: readonly Comparison[]): Verdict[] {
  return WISHES.map(({ what, against, least, kind, of, everywhere }) => {
    const looked = (everywhere ? comparisons : comparisons.slice(0, 1)).map((comparison) => ({ scenario: comparison.scenario, value: of(comparison) }));
    const worst = looked.filter(({ value }) => value !== null).reduce<(typeof looked)[number] | null>((low, each) => (low === null || (each.value ?? 0) < (low.value ?? 0) ? each : low), null);
    const value = worst?.value ?? null;
    return {
      what,
      against,
      wanted: least === 0 && kind === "less" ? "not worse" : `at least ${text(least, kind)}`,
      measured: value === null ? "-" : text(value, kind),
      value,
      // A rival that carries nothing at all is beaten by whoever carries something; there is no number for it.
      reached: value === null ? null : value >= least,
      scenario: worst?.scenario ?? looked[0]?.scenario ?? "",
    };
  });
}

function text(value: number, kind: Wish["kind"]): string {
  if (kind === "times") return `${value.toFixed(2)}x`;
  const percent = `${Math.abs(value * 100).toFixed(0)} %`;
  return kind === "share" ? percent : `${value >= 0 ? "−" : "+"}${percent}`;
}
