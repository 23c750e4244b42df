// The policies that are compared: a strategy with settings, and whether work without an SLO has GPUs of its own. Each has a name that can
// be typed. set-up.ts turns one into the options of a simulation.
import { strategies } from "../core/scheduling/registry.js";
import { DEFAULT_CORE_SETTINGS, type CoreSettings, type HybridSettings } from "../core/settings.js";

export interface Policy {
  /** As `policyNamed` reads it. */
  readonly name: string;
  readonly strategy: string;
  /** Share of the GPUs that serve only work without an SLO, which then goes nowhere else; 0 for none. */
  readonly isolation: number;
  /** Over the defaults of a simulation. */
  readonly settings: Partial<Omit<CoreSettings, "hybrid" | "strategy">>;
  readonly hybrid: Partial<HybridSettings>;
}

/** What the field does, as far as it can be said in one line. */
const PEER_STRATEGIES = [
  "least_loaded",
  "weighted",
  "round_robin",
  "random",
  "power_of_two",
  "peak_ewma",
  "least_outstanding",
  "least_outstanding_weighted",
  "llm_d_like",
  "seconds_of_work",
] as const;

/** Shares of the fleet that peers are tried with as a pool for batch work; 0 is one pool for all. */
const ISOLATIONS = [0, 1 / 8, 1 / 4] as const;

/** The pieces of `hybrid`, each with the settings that take it out. */
export const PIECES: Readonly<Record<string, Partial<HybridSettings>>> = {
  late_binding: { lateBinding: false },
  slo_slots: { slotsBySlo: false },
  protect_running: { protectRunning: false },
  batch_cap: { batchStepShare: 1, batchPrefillMs: Number.MAX_SAFE_INTEGER, batchKvHeadroom: 0 },
  model_room: { modelRoom: false },
  late_exit: { lateExit: false },
  placement: { placement: false },
  affinity: { affinity: false },
  seconds_score: { secondsScore: false },
  others_delay: { delayWeight: 0 },
  bands: { bands: false },
  fair_users: { fairUsers: false },
  learned_estimates: { learnedEstimates: false },
};

const STRATEGY_NAMES = strategies(DEFAULT_CORE_SETTINGS).map(({ name }) => name);

function policy(strategy: string, changes: Partial<Policy> = {}): Policy {
  return { name: strategy, strategy, isolation: 0, settings: {}, hybrid: {}, ...changes };
}

export const HYBRID: Policy = policy("hybrid");

/** The row "LEAST_LOADED, batch isolated": what a plain router does. */
export const LEAST_LOADED: Policy = isolated(policy("least_loaded"), 1 / 4);

/** What a policy is usually compared with: the best simple one, and a plain one, with a quarter of the GPUs for batch work. */
export const USUAL: readonly Policy[] = [HYBRID, isolated(policy("least_outstanding_weighted"), 1 / 4), LEAST_LOADED];

/** `hybrid` without each of its pieces. */
export const ABLATIONS: readonly Policy[] = Object.entries(PIECES).map(([piece, hybrid]) => policy("hybrid", { name: `hybrid-${piece}`, hybrid }));

/** Every peer strategy with every isolation. */
export const PEERS: readonly Policy[] = PEER_STRATEGIES.flatMap((strategy) => ISOLATIONS.map((share) => isolated(policy(strategy), share)));

/** The policy with a share of the GPUs, 0..1, for work without an SLO. */
export function isolated(of: Policy, share: number): Policy {
  if (share === 0) return of;
  const inverse = 1 / share;
  const text = Number.isInteger(Math.round(inverse * 1e6) / 1e6) ? `1/${Math.round(inverse)}` : String(share);
  return { ...of, name: `${of.name}@${text}`, isolation: share };
}

/** Names that stand for several policies. */
const GROUPS: Readonly<Record<string, readonly Policy[]>> = {
  peers: PEERS,
  ablations: [HYBRID, ...ABLATIONS],
  strategies: STRATEGY_NAMES.map((name) => policy(name)),
};

export const GROUP_NAMES = Object.keys(GROUPS);

/** Names of the strategies, as the router knows them. */
export function strategyNames(): readonly string[] {
  return STRATEGY_NAMES;
}

const NAME = /^([a-z0-9_]+)(?:-([a-z_]+))?(?:@(?:1\/(\d{1,3})|(0?\.\d+)))?$/;

/** The policies that a name means: a strategy, "hybrid-PIECE", either with "@1/4" behind it, or a group. A text says what is wrong with it. */
export function policiesNamed(name: string): readonly Policy[] | string {
  const group = GROUPS[name];
  if (group) return group;
  const [, strategy = "", piece, inverse, decimal] = NAME.exec(name) ?? [];
  if (!STRATEGY_NAMES.includes(strategy)) return `there is no policy "${name}": take one of ${[...STRATEGY_NAMES, ...GROUP_NAMES].join(", ")}; a strategy may have @1/4 behind it`;
  const hybrid = piece === undefined ? {} : PIECES[piece];
  if (hybrid === undefined || (piece !== undefined && strategy !== "hybrid")) return `"${name}" takes out no piece: write hybrid-PIECE with one of ${Object.keys(PIECES).join(", ")}`;
  const share = inverse === undefined ? Number(decimal ?? 0) : 1 / Number(inverse);
  if (!(share >= 0 && share < 1)) return `"${name}" leaves no GPU for the rest: give a share below 1, such as @1/4`;
  const base = piece === undefined ? policy(strategy) : policy(strategy, { name: `hybrid-${piece}`, hybrid });
  return [isolated(base, share)];
}
