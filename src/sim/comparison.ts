// The comparison that says whether `hybrid` is worth having: on one scenario, against LEAST_LOADED and against the best peer. What is
// searched and at which loads policies are compared is decided here; comparison-table.ts puts scenarios together and judges them.
import { boundOf } from "./bound-of.js";
import { figuresOf, type Figures } from "./figures.js";
import { plannedGpus } from "./fleets.js";
import { goodput, margin, type Goal } from "./goodput.js";
import { gpusNeeded, scaledFleet } from "./gpus-needed.js";
import { ABLATIONS, HYBRID, PEERS, type Policy } from "./policies.js";
import { sift, type Sifted } from "./sift.js";
import type { TrialPool } from "./trial-pool.js";
import { evaluate, type Study } from "./trials.js";

/** Peers are sifted on these, so that the best one is not chosen on the seeds that are reported. */
const SIFTING_SEEDS = [9001, 9002] as const;
/** Of the sifted peers so many are searched on the study's own seeds; the best of them is the best peer. */
const FINALISTS = 3;
/** Goodput is first looked for at this share of the fluid bound. */
const GUESS = 0.25;
/** Loads at which GPUs are counted: the real one, and one that is too much for a small fleet. */
const GPU_LOADS = [1, 2.5] as const;
/** A policy that does not carry them with so many times the GPUs does not carry them. */
const MOST_TIMES_GPUS = 6;

export interface PolicyGoodput {
  readonly policy: string;
  readonly load: number;
  /** At that load; null when it carries none. */
  readonly figures: Figures | null;
}

/** `hybrid` against one rival, at the rival's goodput. */
export interface Duel {
  readonly rival: PolicyGoodput;
  /** Of `hybrid` at that load; null when the rival carries none. */
  readonly hybrid: Figures | null;
}

/** The fewest GPUs, in the scenario's mix, that carry a load within the SLO, all that the scenario has at most where these do; null when six times as many do not. */
export interface GpusForLoad {
  readonly load: number;
  readonly hybrid: number | null;
  readonly leastLoaded: number | null;
  readonly bestPeer: number | null;
}

export interface Comparison {
  readonly scenario: string;
  readonly title: string;
  readonly seeds: readonly number[];
  readonly durationMs: number;
  /** The largest load that any scheduler could carry, see fluid-bound.ts. */
  readonly fluidBound: number;
  readonly hybrid: PolicyGoodput;
  readonly leastLoaded: Duel;
  readonly bestPeer: Duel;
  /** All peers, on the sifting seeds, best first; what they carry is rough, and 0 for those that were soon out. */
  readonly peers: readonly { readonly policy: string; readonly load: number }[];
  /** Empty when not asked for. */
  readonly gpusFor: readonly GpusForLoad[];
  /** `hybrid` without each piece; empty when not asked for. */
  readonly ablations: readonly PolicyGoodput[];
}

export interface ComparisonOptions {
  readonly goal: Goal;
  /** With the GPUs for equal loads. */
  readonly countGpus: boolean;
  /** With `hybrid` without each piece, which takes longer than all the rest. */
  readonly ablations: boolean;
  /** Told what is done, in words. */
  readonly onStep: (text: string) => void;
}

/** What a policy carries, before it is told by name. */
interface Found {
  readonly policy: Policy;
  readonly load: number;
  readonly figures: Figures | null;
}

/** Rejects as the pool does. */
export async function compare(pool: TrialPool, study: Study, { goal, countGpus, ablations, onStep }: ComparisonOptions): Promise<Comparison> {
  const bound = await boundOf(study);
  const guess = bound * GUESS;
  const search = async (policy: Policy, from: number): Promise<Found> => {
    const { load, measures } = await goodput((at) => evaluate(pool, study, policy, at), goal, from);
    onStep(`${policy.name} carries load ${load}`);
    return { policy, load, figures: measures && figuresOf(measures) };
  };
  const best = async (sifted: readonly Sifted<Policy>[]): Promise<Found> => {
    const found = await Promise.all(sifted.slice(0, FINALISTS).map(({ policy, load }) => search(policy, load || guess)));
    return found.reduce((most, each) => (each.load > most.load ? each : most));
  };
  const sifted = async (candidates: readonly Policy[]): Promise<Sifted<Policy>[]> =>
    sift(candidates, async (policy, load) => marginAt(pool, { ...study, seeds: SIFTING_SEEDS }, policy, load, goal), { finalists: FINALISTS, guess });

  const hybridFound = search(HYBRID, guess);
  const isolates = isMixed(study);
  const candidates = isolates ? PEERS : PEERS.filter(({ isolation }) => isolation === 0);
  const [peers, plain] = await Promise.all([sifted(candidates), sifted(candidates.filter(({ strategy, isolation }) => strategy === "least_loaded" && (isolation > 0 || !isolates)))]);
  onStep("sifted all peers on other seeds");
  const [hybrid, leastLoaded, bestPeer] = await Promise.all([hybridFound, best(plain), best(peers)]);
  const duel = async (rival: Found): Promise<Duel> => {
    const measures = rival.load === 0 ? null : await evaluate(pool, study, HYBRID, rival.load);
    return { rival: named(rival), hybrid: measures && figuresOf(measures) };
  };
  const duels = await Promise.all([duel(leastLoaded), duel(bestPeer)]);
  onStep("compared at equal loads");
  const gpusFor = countGpus ? await Promise.all(GPU_LOADS.map(async (load) => gpusForLoad(pool, study, goal, load, { hybrid, leastLoaded, bestPeer }))) : [];
  if (countGpus) onStep("counted GPUs");
  return {
    scenario: study.scenario.name,
    title: study.scenario.title,
    seeds: study.seeds,
    durationMs: study.durationMs,
    fluidBound: bound,
    hybrid: named(hybrid),
    leastLoaded: duels[0],
    bestPeer: duels[1],
    peers: peers.map(({ policy, load }) => ({ policy: policy.name, load })),
    gpusFor,
    ablations: ablations ? (await Promise.all(ABLATIONS.map((policy) => search(policy, hybrid.load || guess)))).map(named) : [],
  };
}

function named({ policy, load, figures }: Found): PolicyGoodput {
  return { policy: policy.name, load, figures };
}

/** Whether some of the work has an SLO and some has none: only then can the latter be kept apart. */
function isMixed({ scenario: { parts } }: Study): boolean {
  return new Set(parts.flatMap(({ users }) => users.map(({ slo }) => slo === null))).size === 2;
}

async function marginAt(pool: TrialPool, study: Study, policy: Policy, load: number, goal: Goal): Promise<number> {
  const measures = await evaluate(pool, study, policy, load);
  return measures === null ? 0 : margin(measures, goal);
}

async function gpusForLoad(pool: TrialPool, study: Study, goal: Goal, load: number, found: Readonly<Record<"hybrid" | "leastLoaded" | "bestPeer", Found>>): Promise<GpusForLoad> {
  const plan = study.fleet ?? study.scenario.fleet;
  const fewest = async ({ policy, load: carries }: Found): Promise<number | null> => {
    if (carries === 0) return null;
    const planned = plannedGpus(plan);
    const guess = Math.max(1, Math.round((planned * load) / carries));
    // Whoever carries more on the scenario's own fleet needs no larger one, though some in between may suit him worse.
    const enough = carries >= load;
    const { gpus } = await gpusNeeded((count) => evaluate(pool, { ...study, fleet: scaledFleet(plan, count) }, policy, load), goal, guess, enough ? planned : MOST_TIMES_GPUS * planned);
    return gpus ?? (enough ? planned : null);
  };
  const [hybrid, leastLoaded, bestPeer] = await Promise.all([fewest(found.hybrid), fewest(found.leastLoaded), fewest(found.bestPeer)]);
  return { load, hybrid, leastLoaded, bestPeer };
}
