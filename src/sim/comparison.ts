// The comparison that says whether `hybrid` is worth having: on one scenario, against LEAST_LOADED and against the best peer. What is
// searched and at which loads policies are compared is decided here; comparison-table.ts puts scenarios together and judges them.
import { boundOf } from "./bound-of.js";
import { figuresOf, type Figures } from "./figures.js";
import { plannedGpus } from "./fleets.js";
import { goodput, type Goal, type Goodput } from "./goodput.js";
import { gpusNeeded, scaledFleet } from "./gpus-needed.js";
import { ABLATIONS, HYBRID, ISOLATIONS, PEERS, type Policy } from "./policies.js";
import type { TrialPool } from "./trial-pool.js";
import { evaluate, type Study } from "./trials.js";

/** Peers are sifted on these, so that the best one is not chosen on the seeds that are reported. */
const SIFTING_SEEDS = [9001, 9002] as const;
/** Of the sifted peers so many are searched on the study's own seeds; the best of them is the best peer. */
const FINALISTS = 3;
/** Goodput is first looked for at this share of the fluid bound. */
const GUESS = 0.25;

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
  /** GPUs of the scenario, which the rival needs for the load. */
  readonly gpus: number;
  /** GPUs that `hybrid` needs for it; null when the rival carries none. */
  readonly hybridGpus: number | null;
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
  /** All peers, on the sifting seeds, best first. */
  readonly peers: readonly { readonly policy: string; readonly load: number }[];
  /** `hybrid` without each piece; empty when not asked for. */
  readonly ablations: readonly PolicyGoodput[];
}

export interface ComparisonOptions {
  readonly goal: Goal;
  readonly ablations: boolean;
  /** Told what is done, in words. */
  readonly onStep: (text: string) => void;
}

/** Rejects as the pool does. */
export async function compare(pool: TrialPool, study: Study, { goal, ablations, onStep }: ComparisonOptions): Promise<Comparison> {
  const bound = await boundOf(study);
  const search = async (policy: Policy, of: Study, guess: number): Promise<Goodput> => goodput((load) => evaluate(pool, of, policy, load), goal, guess);
  const named = async (policy: Policy, guess: number): Promise<PolicyGoodput> => {
    const { load, measures } = await search(policy, study, guess);
    onStep(`${policy.name} carries load ${load}`);
    return { policy: policy.name, load, figures: measures && figuresOf(measures) };
  };

  const guess = bound * GUESS;
  const sifting: Study = { ...study, seeds: SIFTING_SEEDS };
  const isolates = study.scenario.parts.some(({ users }) => users.some(({ slo }) => slo === null)) && study.scenario.parts.some(({ users }) => users.some(({ slo }) => slo !== null));
  const candidates = isolates ? PEERS : PEERS.filter(({ isolation }) => isolation === 0);
  const hybridFound = named(HYBRID, guess);
  const sifted = await Promise.all(
    candidates.map(async (policy) => {
      const { load } = await search(policy, sifting, guess);
      onStep(`${policy.name} carries load ${load} on sifting seeds`);
      return { policy, load };
    }),
  );
  const ranked = sifted.toSorted((a, b) => b.load - a.load || (a.policy.name < b.policy.name ? -1 : 1));
  const plain = ranked.filter(({ policy }) => policy.strategy === "least_loaded" && (policy.isolation > 0 || !isolates)).slice(0, ISOLATIONS.length);
  const [hybrid, plainFound, finalists] = await Promise.all([
    hybridFound,
    Promise.all(plain.map(({ policy, load }) => named(policy, load || guess))),
    Promise.all(ranked.slice(0, FINALISTS).map(({ policy, load }) => named(policy, load || guess))),
  ]);
  const [leastLoaded, bestPeer] = await Promise.all([duel(pool, study, goal, best(plainFound), hybrid), duel(pool, study, goal, best(finalists), hybrid)]);
  onStep("compared at equal loads");
  return {
    scenario: study.scenario.name,
    title: study.scenario.title,
    seeds: study.seeds,
    durationMs: study.durationMs,
    fluidBound: bound,
    hybrid,
    leastLoaded,
    bestPeer,
    peers: ranked.map(({ policy, load }) => ({ policy: policy.name, load })),
    ablations: ablations ? await Promise.all(ABLATIONS.map((policy) => named(policy, hybrid.load || guess))) : [],
  };
}

async function duel(pool: TrialPool, study: Study, goal: Goal, rival: PolicyGoodput, hybrid: PolicyGoodput): Promise<Duel> {
  const plan = study.fleet ?? study.scenario.fleet;
  const gpus = plannedGpus(plan);
  if (rival.load === 0) return { rival, hybrid: null, gpus, hybridGpus: null };
  const guess = Math.max(1, Math.round((gpus * rival.load) / Math.max(rival.load, hybrid.load)));
  const [measures, needed] = await Promise.all([
    evaluate(pool, study, HYBRID, rival.load),
    gpusNeeded((count) => evaluate(pool, { ...study, fleet: scaledFleet(plan, count) }, HYBRID, rival.load), goal, guess),
  ]);
  return { rival, hybrid: measures && figuresOf(measures), gpus, hybridGpus: needed.gpus };
}

function best(found: readonly PolicyGoodput[]): PolicyGoodput {
  return found.reduce((most, each) => (each.load > most.load ? each : most));
}
