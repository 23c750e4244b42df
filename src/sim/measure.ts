// What a run was worth, from its columns: attainment, latencies, fairness, use of the fleet. Plain data that adds up: `pooled` makes of
// several runs what one long run would have given. Reports show these figures, searches decide by them.
import { BLOCK_TOKENS } from "../simulated-gpu/prefix-cache.js";
import { emptyHistogram, mergedHistogram, record, type LogHistogram } from "./log-histogram.js";
import { OUTCOMES, type SimulatedRun } from "./result.js";

/** A request that ended without an answer counts as at least this slow: its caller gave up on it, and being refused at once is no speed. */
const GIVEN_UP_MS = 30_000;
const COMPLETED = OUTCOMES.indexOf("completed");
const PRIORITIES = 5;

export interface Counts {
  readonly requests: number;
  readonly completed: number;
  /** Completed within the SLO; 0 for work without one. */
  readonly inSlo: number;
}

/** All tenants of one name: a user. */
export interface UserMeasures extends Counts {
  readonly name: string;
  /** Whether its requests have an SLO. */
  readonly promised: boolean;
  readonly firstOutput: LogHistogram;
  readonly response: LogHistogram;
}

/** One run's figures, for the spread. */
export interface SeedFigures {
  readonly seed: number;
  readonly attainment: number;
}

/** At fixed intervals, means over the runs. */
export interface MeasuredTimeline {
  readonly everyMs: number;
  /** Share of GPUs with work, 0..1. */
  readonly busy: readonly number[];
  /** Requests on GPUs. */
  readonly running: readonly number[];
  /** By priority, 1 first. */
  readonly waiting: readonly (readonly number[])[];
  /** Of requests with an SLO, by arrival. */
  readonly arrived: readonly number[];
  readonly kept: readonly number[];
}

export interface Measures {
  readonly policy: string;
  readonly scenario: string;
  readonly load: number;
  readonly seeds: readonly SeedFigures[];
  readonly gpus: readonly { readonly kind: string; readonly count: number }[];
  /** How long requests arrived in each run, ms. */
  readonly arrivalsMs: number;
  readonly interactive: Counts;
  /** Work without an SLO. */
  readonly batch: Counts;
  readonly users: readonly UserMeasures[];
  /** Of requests with an SLO, from arrival. */
  readonly firstOutput: LogHistogram;
  readonly response: LogHistogram;
  /** Arrival to the last placement, by priority, 1 first; what was never placed waited until it ended. */
  readonly waits: readonly LogHistogram[];
  /** Mean share of GPUs with work while requests arrived, 0..1. */
  readonly busyShare: number;
  /** By kind, over the whole run. */
  readonly busyByKind: readonly { readonly kind: string; readonly busyShare: number }[];
  readonly inputTokens: number;
  readonly cachedTokens: number;
  readonly inputBlocks: number;
  readonly cachedBlocks: number;
  readonly outputTokens: number;
  /** Largest share of all tokens that one GPU read and wrote, against the mean GPU's: 1 is even. Says little where kinds differ. */
  readonly loadSkew: number;
  readonly attempts: number;
  readonly timeline: MeasuredTimeline;
  /** What the simulation cost. */
  readonly wallMs: number;
  readonly events: number;
}

/** The figures of one run; requests arrived until `arrivalsMs`. */
export function measure(run: SimulatedRun, arrivalsMs: number): Measures {
  const { requests, tenants, timeline } = run;
  const users = new Map<string, { name: string; promised: boolean; requests: number; completed: number; inSlo: number; firstOutput: LogHistogram; response: LogHistogram }>();
  const userOf = tenants.map(({ name, slo }) => {
    const key = `${name} ${slo !== null}`;
    const user = users.get(key) ?? { name, promised: slo !== null, requests: 0, completed: 0, inSlo: 0, firstOutput: emptyHistogram(), response: emptyHistogram() };
    users.set(key, user);
    return user;
  });
  const waits = Array.from({ length: PRIORITIES }, emptyHistogram);
  const points = Math.max(1, Math.floor(arrivalsMs / timeline.everyMs));
  const arrived = Array.from({ length: points }, () => 0);
  const kept = Array.from({ length: points }, () => 0);
  const tokensOf = new Float64Array(run.gpus.length);
  const sums = { inputTokens: 0, cachedTokens: 0, inputBlocks: 0, cachedBlocks: 0, outputTokens: 0, attempts: 0 };
  for (let row = 0; row < requests.count; row += 1) {
    const tenant = requests.tenant[row]!;
    const user = userOf[tenant]!;
    const arrivedAtMs = requests.arrivedAtMs[row]!;
    const completed = requests.outcome[row] === COMPLETED;
    const inSlo = requests.inSlo[row] === 1;
    const lastMs = orElse(requests.endedAtMs[row]!, run.durationMs) - arrivedAtMs;
    const sinceMs = completed ? lastMs : Math.max(GIVEN_UP_MS, lastMs);
    user.requests += 1;
    user.completed += completed ? 1 : 0;
    user.inSlo += inSlo ? 1 : 0;
    record(user.response, sinceMs);
    record(user.firstOutput, completed ? orElse(requests.firstOutputAtMs[row]! - arrivedAtMs, lastMs) : sinceMs);
    record(waits[tenants[tenant]!.priority - 1]!, orElse(requests.placedAtMs[row]! - arrivedAtMs, lastMs));
    if (user.promised) {
      const point = Math.min(points - 1, Math.floor(arrivedAtMs / timeline.everyMs));
      arrived[point]! += 1;
      kept[point]! += inSlo ? 1 : 0;
    }
    const gpu = requests.gpu[row]!;
    sums.attempts += requests.attempts[row]!;
    if (gpu < 0) continue;
    tokensOf[gpu]! += requests.inputTokens[row]! + requests.outputTokens[row]!;
    sums.inputTokens += requests.inputTokens[row]!;
    sums.cachedTokens += requests.cachedTokens[row]!;
    sums.inputBlocks += Math.ceil(requests.inputTokens[row]! / BLOCK_TOKENS);
    sums.cachedBlocks += Math.ceil(requests.cachedTokens[row]! / BLOCK_TOKENS);
    sums.outputTokens += completed ? requests.outputTokens[row]! : 0;
  }
  const all = [...users.values()];
  const promised = all.filter((user) => user.promised);
  const interactive = summed(promised);
  const response = mergedHistogram(promised.map((user) => user.response));
  const busy = timeline.busy.slice(0, points);
  const totalTokens = tokensOf.reduce((sum, tokens) => sum + tokens, 0);
  return {
    policy: run.policy,
    scenario: run.scenario,
    load: run.load,
    seeds: [{ seed: run.seed, attainment: attainmentOf(interactive) }],
    gpus: kindsOf(run).map(({ kind, gpus }) => ({ kind, count: gpus.length })),
    arrivalsMs,
    interactive,
    batch: summed(all.filter((user) => !user.promised)),
    users: all.toSorted((a, b) => (a.name < b.name ? -1 : 1)),
    firstOutput: mergedHistogram(promised.map((user) => user.firstOutput)),
    response,
    waits,
    busyShare: busy.length === 0 ? mean(run.busyMs) / Math.max(1, run.durationMs) : mean(busy),
    busyByKind: kindsOf(run).map(({ kind, gpus }) => ({ kind, busyShare: mean(gpus.map((gpu) => run.busyMs[gpu] ?? 0)) / Math.max(1, run.durationMs) })),
    ...sums,
    loadSkew: totalTokens === 0 ? 1 : (Math.max(...tokensOf) * tokensOf.length) / totalTokens,
    timeline: { everyMs: timeline.everyMs, busy, running: timeline.running.slice(0, points), waiting: timeline.waiting.map((each) => each.slice(0, points)), arrived, kept },
    wallMs: run.wallMs,
    events: run.events,
  };
}

/** Several runs of one policy, scenario and load as one. At least one. */
export function pooled(runs: readonly Measures[]): Measures {
  const [first] = runs;
  if (!first) throw new Error("there is nothing to pool");
  const sum = (of: (run: Measures) => number): number => runs.reduce((total, run) => total + of(run), 0);
  const timelines = runs.map(({ timeline }) => timeline);
  const pooledUsers = first.users.map(({ name, promised }) => {
    const own = runs.flatMap(({ users }) => users.filter((user) => user.name === name && user.promised === promised));
    return { name, promised, ...summed(own), firstOutput: mergedHistogram(own.map((user) => user.firstOutput)), response: mergedHistogram(own.map((user) => user.response)) };
  });
  return {
    ...first,
    seeds: runs.flatMap(({ seeds }) => seeds),
    interactive: summed(runs.map(({ interactive }) => interactive)),
    batch: summed(runs.map(({ batch }) => batch)),
    users: pooledUsers,
    firstOutput: mergedHistogram(runs.map(({ firstOutput }) => firstOutput)),
    response: mergedHistogram(runs.map(({ response }) => response)),
    waits: first.waits.map((_, index) => mergedHistogram(runs.map(({ waits }) => waits[index] ?? emptyHistogram()))),
    busyShare: mean(runs.map(({ busyShare }) => busyShare)),
    busyByKind: first.busyByKind.map(({ kind }, index) => ({ kind, busyShare: mean(runs.map(({ busyByKind }) => busyByKind[index]?.busyShare ?? 0)) })),
    inputTokens: sum((run) => run.inputTokens),
    cachedTokens: sum((run) => run.cachedTokens),
    inputBlocks: sum((run) => run.inputBlocks),
    cachedBlocks: sum((run) => run.cachedBlocks),
    outputTokens: sum((run) => run.outputTokens),
    loadSkew: mean(runs.map(({ loadSkew }) => loadSkew)),
    attempts: sum((run) => run.attempts),
    timeline: {
      everyMs: first.timeline.everyMs,
      busy: pointwise(timelines.map(({ busy }) => busy)),
      running: pointwise(timelines.map(({ running }) => running)),
      waiting: first.timeline.waiting.map((_, index) => pointwise(timelines.map(({ waiting }) => waiting[index] ?? []))),
      arrived: pointwise(timelines.map(({ arrived }) => arrived)),
      kept: pointwise(timelines.map(({ kept }) => kept)),
    },
    wallMs: sum((run) => run.wallMs),
    events: sum((run) => run.events),
  };
}

/** Share of the requests that were completed within their SLO; 1 when there were none. */
export function attainmentOf({ requests, inSlo }: Counts): number {
  return requests === 0 ? 1 : inSlo / requests;
}

/** Share that was completed; 1 when there were none. */
export function completionOf({ requests, completed }: Counts): number {
  return requests === 0 ? 1 : completed / requests;
}

/** The user that was served worst, of those with an SLO; null without any. */
export function worstUser({ users }: Measures): { readonly name: string; readonly attainment: number } | null {
  return users
    .filter(({ promised, requests }) => promised && requests > 0)
    .map((user) => ({ name: user.name, attainment: attainmentOf(user) }))
    .reduce<{ readonly name: string; readonly attainment: number } | null>((worst, each) => (worst === null || each.attainment < worst.attainment ? each : worst), null);
}

/** Jain's index over the users' attainment: 1 when all are served alike, 1/n when one gets everything. */
export function fairness({ users }: Measures): number {
  const shares = users.filter(({ promised, requests }) => promised && requests > 0).map(attainmentOf);
  const squares = shares.reduce((sum, share) => sum + share * share, 0);
  return squares === 0 ? 1 : shares.reduce((sum, share) => sum + share, 0) ** 2 / (shares.length * squares);
}

function summed(counts: readonly Counts[]): Counts {
  return counts.reduce<Counts>((sum, { requests, completed, inSlo }) => ({ requests: sum.requests + requests, completed: sum.completed + completed, inSlo: sum.inSlo + inSlo }), {
    requests: 0,
    completed: 0,
    inSlo: 0,
  });
}

function kindsOf({ gpus }: SimulatedRun): { readonly kind: string; readonly gpus: readonly number[] }[] {
  return [...new Set(gpus.map(({ kind }) => kind))].map((kind) => ({ kind, gpus: gpus.flatMap((gpu, index) => (gpu.kind === kind ? [index] : [])) }));
}

function pointwise(series: readonly (readonly number[])[]): number[] {
  const longest = series.reduce((most, { length }) => Math.max(most, length), 0);
  return Array.from({ length: longest }, (_, index) => mean(series.flatMap((each) => each[index] ?? [])));
}

function mean(values: readonly number[]): number {
  return values.length === 0 ? 0 : values.reduce((sum, value) => sum + value, 0) / values.length;
}

function orElse(value: number, fallback: number): number {
  return Number.isNaN(value) ? fallback : value;
}
