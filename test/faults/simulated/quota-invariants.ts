// What must hold of the router's own counts of what users and teams have: checks against quota-oracle.ts and what really runs.
import type { Engine } from "../../../src/core/engine.js";
import type { Executions } from "./executions.js";
import type { Facts } from "./facts.js";
import type { QuotaOracle } from "./quota-oracle.js";
import { Violation } from "./violation.js";

const MINUTE_MS = 60_000;
/** The router counts a minute in whole seconds. */
const SECOND_MS = 1_000;

/** Each user and team is counted with exactly what he has: nothing is lost on the way, and nothing is kept. */
export function quotasCountWhatIsHeld({ state: { quotas } }: Engine, oracle: QuotaOracle, nowMs: number): void {
  const { gpuTimePeriodMs } = quotas.settings;
  for (const accounts of [quotas.users(), quotas.teams()]) {
    for (const account of accounts) {
      const { kind, id } = account;
      const held = oracle.held({ kind, id });
      const counted = [account.running, account.runningPriority, account.onGpu.size, entries(account.onModel), account.queued, account.queuedBytes, account.reservedGpuMs, account.gpuUsedMs(nowMs, gpuTimePeriodMs)];
      const has = [held.running, held.priority, held.gpus.size, entries(held.models), held.queued, held.queuedBytes, held.reservedGpuMs, oracle.gpuUsedMs({ kind, id }, nowMs)];
      if (String(counted) !== String(has)) throw new Violation("quotasCountWhatIsHeld", `${kind} ${id} is counted with ${counted.join(" ")} and has ${has.join(" ")}`);
      const minute = account.minute.used(nowMs);
      const [least, most] = [oracle.accepted({ kind, id }, MINUTE_MS, nowMs), oracle.accepted({ kind, id }, MINUTE_MS + SECOND_MS, nowMs)];
      if (minute < least || minute > most) throw new Violation("quotasCountWhatIsHeld", `${kind} ${id} is counted with ${minute} requests in a minute and has had ${least}`);
    }
  }
}

function entries(counts: ReadonlyMap<string, number>): string {
  return [...counts].sort(([a], [b]) => (a < b ? -1 : 1)).join(";");
}

/** Who is kept waiting by a quota, his own or his team's, has reached one. */
export function nobodyIsHeldInVain({ state: { queue } }: Engine, oracle: QuotaOracle, nowMs: number): void {
  if (!queue.holdsAnybody) return;
  for (const [, heads] of queue.heldHeads()) for (const { spec, estimate } of heads) oracle.judgeWaiting(spec, estimate.durationMs, nowMs);
}

/** Nobody has more on GPUs, in truth, than he is counted with. What was given up because nothing is heard of it may run on, if it may run twice. */
export function whatRunsIsCounted({ state: { quotas } }: Engine, executions: Executions, known: Facts, userOf: (requestId: string) => string, nowMs: number): void {
  const running = new Map<string, Set<string>>();
  for (const { requestId, attempt, mustNotRunTwice } of executions.running(nowMs)) {
    if (!mustNotRunTwice && !known.isOn(requestId, attempt)) continue;
    const userId = userOf(requestId);
    running.set(userId, (running.get(userId) ?? new Set()).add(requestId));
  }
  for (const [userId, requests] of running) {
    const counted = quotas.user(userId)?.running ?? 0;
    if (requests.size > counted) throw new Violation("whatRunsIsCounted", `${[...requests].join(", ")} run for ${userId}, who is counted with ${counted}`);
  }
}

/** When nothing is left to do, nobody has anything. */
export function quotasAreGivenBack({ state: { quotas } }: Engine): void {
  for (const accounts of [quotas.users(), quotas.teams()]) {
    for (const { kind, id, running, runningPriority, onGpu, onModel, reservedGpuMs, queued, queuedBytes } of accounts) {
      const left = [running, runningPriority, onGpu.size, onModel.size, reservedGpuMs, queued, queuedBytes];
      if (left.some((count) => count !== 0)) throw new Violation("quotasAreGivenBack", `${kind} ${id} is counted with ${left.join(" ")} though nothing is live`);
    }
  }
}
