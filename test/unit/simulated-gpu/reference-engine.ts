// The batching engine's semantics, iteration by iteration and with nothing clever, to check the real one against.
import { BatchingEngine, type EngineEvent, type JobId, type TokenJob } from "../../../src/simulated-gpu/batching-engine.js";
import type { ServiceTimes } from "../../../src/simulated-gpu/service-times.js";

export interface Plan {
  readonly times: Readonly<Record<string, ServiceTimes>>;
  readonly maxSeqs: number;
  readonly tokenBudget: number;
  readonly slowdown: number;
  readonly jobs: readonly (TokenJob & { readonly atMs: number })[];
  readonly works: readonly { readonly id: string; readonly atMs: number; readonly workMs: number }[];
  readonly removals: readonly { readonly id: JobId; readonly atMs: number }[];
}

export interface Outcome {
  readonly events: readonly EngineEvent[];
  /** Of each removal, in order: output tokens, or null when the job had ended. */
  readonly removed: readonly (number | null)[];
  readonly busyMs: number;
}

type Command = (nowMs: number) => void;

/** All that comes from outside, in the order of time; at the same moment arrivals come before removals. */
function commands(plan: Plan, add: (job: TokenJob) => Command, work: (id: string, workMs: number) => Command, remove: (id: JobId) => Command): { atMs: number; run: Command }[] {
  return [
    ...plan.jobs.map((job) => ({ atMs: job.atMs, run: add(job) })),
    ...plan.works.map(({ id, atMs, workMs }) => ({ atMs, run: work(id, workMs) })),
    ...plan.removals.map(({ id, atMs }) => ({ atMs, run: remove(id) })),
  ].toSorted((a, b) => a.atMs - b.atMs);
}

export function realOutcome(plan: Plan): Outcome {
  const engine = new BatchingEngine({ ...plan, times: (modelId) => plan.times[modelId]! });
  const events: EngineEvent[] = [];
  const removed: (number | null)[] = [];
  let nowMs = 0;
  const list = commands(
    plan,
    (job) => (at) => engine.add(job, at),
    (id, workMs) => (at) => engine.addWork({ id, workMs }, at),
    (id) => (at) => removed.push(engine.remove(id, at)?.outputTokens ?? null),
  );
  for (const { atMs, run } of [...list, { atMs: Number.POSITIVE_INFINITY, run: (): void => {} }]) {
    for (let nextAtMs = engine.nextAtMs(); nextAtMs < atMs; nextAtMs = engine.nextAtMs()) {
      nowMs = nextAtMs;
      events.push(...engine.advance(nowMs));
    }
    if (atMs === Number.POSITIVE_INFINITY) break;
    nowMs = atMs;
    run(atMs);
  }
  return { events, removed, busyMs: engine.busyMs(nowMs) };
}

interface Request {
  readonly job: TokenJob;
  output: number;
  /** Tokens held in the cache; 0 while it waits. */
  held: number;
  unread: number;
  started: boolean;
  overwrittenFrom: number;
}

export function referenceOutcome(plan: Plan): Outcome {
  const events: EngineEvent[] = [];
  const removed: (number | null)[] = [];
  const waiting: Request[] = [];
  const running: Request[] = [];
  let works: { id: string; leftMs: number }[] = [];
  let iteration: { leftMs: number; decoding: Request[]; chunks: { request: Request; tokens: number }[] } | null = null;
  let allocated = 0;
  let nowMs = 0;
  let busyMs = 0;

  const timesOf = ({ job }: Request): ServiceTimes => plan.times[job.modelId]!;
  const share = (request: Request): number => 1 / Math.max(1, timesOf(request).kvCapacityTokens);
  const use = (): number => running.reduce((sum, request) => sum + request.held * share(request), 0);
  const decoders = (): Request[] => running.filter(({ unread }) => unread === 0);
  const growth = (): number => decoders().reduce((sum, request) => sum + share(request), 0);
  const tell = (id: JobId, kind: EngineEvent["kind"]): void => void events.push({ id, kind, atMs: nowMs });
  const takeOut = (list: Request[], id: JobId): Request | null => {
    const index = list.findIndex(({ job }) => job.id === id);
    return index < 0 ? null : list.splice(index, 1)[0]!;
  };

  const begin = (): void => {
    let full = false;
    while (running.length > 1 && use() + growth() > 1 + 1e-9) {
      const free = Math.max(0, 1 - use());
      const last = running.pop()!;
      Object.assign(last, { held: 0, overwrittenFrom: allocated + free });
      waiting.unshift(last);
      full = true;
    }
    const decoding = decoders();
    let budget = plan.tokenBudget - decoding.length;
    let leftMs = 0;
    const chunks: { request: Request; tokens: number }[] = [];
    const read = (request: Request): void => {
      const tokens = Math.min(request.unread, budget);
      const before = Math.max(0, request.held - request.unread);
      budget -= tokens;
      leftMs += tokens * (timesOf(request).prefillMsPerToken + (before + tokens / 2) * timesOf(request).prefillMsPerTokenPair);
      chunks.push({ request, tokens });
    };
    for (const request of running) if (request.unread > 0) read(request);
    for (;;) {
      const next = waiting[0];
      if (full || !next || budget === 0) break;
      const context = next.job.inputTokens + next.output;
      if (running.length > 0 && (running.length >= plan.maxSeqs || use() + growth() + context * share(next) > 1 + 1e-9)) break;
      const overwritten = Math.ceil(Math.max(0, allocated - next.overwrittenFrom) / share(next) - 1e-6);
      next.unread = Math.max(1, Math.min(context - next.job.cachedTokens, overwritten + next.unread));
      allocated += Math.min(overwritten, context) * share(next);
      next.held = context;
      running.push(waiting.shift()!);
      if (!next.started) tell(next.job.id, "started");
      next.started = true;
      read(next);
    }
    for (const request of decoding) leftMs += timesOf(request).stepMsPerRequest + request.held * timesOf(request).stepMsPerKvToken;
    const models = new Set([...decoding, ...chunks.map(({ request }) => request)].map(({ job }) => job.modelId));
    for (const modelId of models) leftMs += plan.times[modelId]!.stepBaseMs;
    iteration = { leftMs, decoding, chunks };
  };

  const yieldToken = (request: Request): void => {
    request.output += 1;
    if (request.output === 1) tell(request.job.id, "first_output");
    if (request.output < request.job.outputTokens) return;
    takeOut(running, request.job.id);
    tell(request.job.id, "ended");
  };

  const complete = (decoding: readonly Request[], chunks: readonly { readonly request: Request; readonly tokens: number }[]): void => {
    for (const request of decoding) {
      if (!running.includes(request)) continue;
      allocated += share(request);
      request.held += 1;
      yieldToken(request);
    }
    for (const { request, tokens } of chunks) {
      if (!running.includes(request)) continue;
      request.unread -= tokens;
      if (request.unread === 0) yieldToken(request);
    }
  };

  const list = commands(
    plan,
    (job) => () => void waiting.push({ job, output: 0, held: 0, unread: 0, started: false, overwrittenFrom: Number.NEGATIVE_INFINITY }),
    (id, workMs) => () => {
      works.push({ id, leftMs: workMs });
      tell(id, "started");
    },
    (id) => () => {
      const request = takeOut(waiting, id) ?? takeOut(running, id);
      const work = works.some((each) => each.id === id);
      works = works.filter((each) => each.id !== id);
      removed.push(request ? request.output : work ? 0 : null);
    },
  );
  for (;;) {
    while (list[0] && list[0].atMs <= nowMs) list.shift()!.run(nowMs);
    if (!iteration && running.length + waiting.length > 0) begin();
    const sharers = works.length + (iteration ? 1 : 0);
    const nextAtMs = list[0]?.atMs ?? Number.POSITIVE_INFINITY;
    if (sharers === 0) {
      if (nextAtMs === Number.POSITIVE_INFINITY) return { events, removed, busyMs };
      nowMs = nextAtMs;
      continue;
    }
    const least = Math.min(...works.map(({ leftMs }) => leftMs), iteration ? (iteration as { leftMs: number }).leftMs : Number.POSITIVE_INFINITY);
    const gpuMs = Math.min(least, (nextAtMs - nowMs) / (sharers * plan.slowdown));
    nowMs = gpuMs === least ? nowMs + least * sharers * plan.slowdown : nextAtMs;
    busyMs += gpuMs * sharers * plan.slowdown;
    for (const work of works) work.leftMs -= gpuMs;
    if (iteration) {
      const { leftMs, decoding, chunks }: { leftMs: number; decoding: Request[]; chunks: { request: Request; tokens: number }[] } = iteration;
      if (leftMs <= gpuMs) {
        iteration = null;
        complete(decoding, chunks);
      } else Object.assign(iteration, { leftMs: leftMs - gpuMs });
    }
    for (const { id } of works.filter(({ leftMs }) => leftMs <= 1e-9)) tell(id, "ended");
    works = works.filter(({ leftMs }) => leftMs > 1e-9);
  }
}
