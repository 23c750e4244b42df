// Replays a trace through real processes and holds the three accounts of it against each other: the report of the replay, what
// the router lists, and what the agents themselves have logged. Used by the short replays and by the long ones.
import { expect } from "@jest/globals";
import { RequestState, type RequestInfo } from "../../gen/gpurouter/v1/router_pb.js";
import type { RouterClient } from "../../src/api/client.js";
import { attemptEnds, TestProcess, type AttemptEnd } from "./harness.js";

/** The parts of `replay --json` that are checked. */
export interface ReplayReport {
  readonly plan: { readonly requests: number };
  readonly elapsed_ms: number;
  readonly counts: Readonly<Record<"sent" | "accepted" | "completed" | "failed" | "cancelled" | "refused" | "unanswered" | "lost" | "unfinished" | "ended_twice" | "redispatched" | "retries" | "reconnects", number>>;
  readonly codes: readonly object[];
  readonly gpus: readonly { readonly gpu_id: string; readonly requests: number; readonly completed: number; readonly busy_share: number; readonly mean_concurrency: number }[];
  readonly latencies: readonly { readonly name: string; readonly p50_ms: number | null; readonly p99_ms: number | null }[];
  readonly lateness: { readonly p99_ms: number | null };
  readonly verification: { readonly asked: number; readonly changed: readonly string[]; readonly unknown: readonly string[]; readonly unanswered: number } | null;
}

export interface Replay {
  readonly process: TestProcess;
  /** Resolves when the replay has ended. */
  readonly report: Promise<ReplayReport>;
}

export function startReplay(router: string, traces: readonly string[], options: readonly string[]): Replay {
  const process = new TestProcess("replay", ["replay", ...traces, "--router", router, "--json", "--verify", ...options]);
  const report = process.ended.then((exitCode) => {
    try {
      return JSON.parse(process.stdout) as ReplayReport;
    } catch {
      throw new Error(`The replay gave no report; exit code ${exitCode}.\n${process.stderr}`);
    }
  });
  report.catch(() => {});
  return { process, report };
}

/** Everything that the router knows, by request id. Throws when a request is listed twice. */
export async function listAll(client: RouterClient): Promise<Map<string, RequestInfo>> {
  const all = new Map<string, RequestInfo>();
  for (let pageToken = "", first = true; first || pageToken !== ""; first = false) {
    const page = await client.list({ pageSize: 1000, pageToken });
    for (const request of page.requests) {
      if (all.has(request.requestId)) throw new Error(`${request.requestId} is listed twice.`);
      all.set(request.requestId, request);
    }
    pageToken = page.nextPageToken;
  }
  return all;
}

/**
 * Checks that every request of the replay completed exactly once, and that report, router and agents tell the same. Agents that
 * were `killed` may have finished attempts that nobody heard of; everybody else finished only what was taken.
 */
export async function expectOneEndEach(report: ReplayReport, client: RouterClient, agents: readonly TestProcess[], killed: readonly TestProcess[] = []): Promise<void> {
  const { counts } = report;
  const trouble = { refused: counts.refused, unanswered: counts.unanswered, lost: counts.lost, unfinished: counts.unfinished, endedTwice: counts.ended_twice, codes: report.codes };
  expect(trouble).toEqual({ refused: 0, unanswered: 0, lost: 0, unfinished: 0, endedTwice: 0, codes: [] });
  expect(counts).toMatchObject({ sent: report.plan.requests, accepted: report.plan.requests, completed: report.plan.requests });
  expect(report.verification).toEqual({ asked: report.plan.requests, changed: [], unknown: [], unanswered: 0 });

  const listed = await listAll(client);
  expect(listed.size).toBe(report.plan.requests);
  expect([...listed.values()].filter(({ state }) => state !== RequestState.COMPLETED)).toEqual([]);

  const succeeded = new Map<string, AttemptEnd[]>();
  for (const end of attemptEnds(agents)) if (end.outcome === "succeeded") succeeded.set(end.request, [...(succeeded.get(end.request) ?? []), end]);
  const killedGpus = new Set(attemptEnds(killed).map(({ gpu }) => gpu));
  const perGpu = new Map<string, number>();
  for (const { requestId, attempts, assignedGpu } of listed.values()) {
    const ends = succeeded.get(requestId) ?? [];
    const taken = ends.filter((end) => end.attempt === attempts && end.gpu === assignedGpu);
    // A process that is killed takes its last lines of log with it.
    const unlogged = taken.length === 0 && killedGpus.has(assignedGpu) ? 1 : 0;
    expect({ requestId, attempts, assignedGpu, taken: taken.length + unlogged, ends }).toEqual({ requestId, attempts, assignedGpu, taken: 1, ends });
    perGpu.set(assignedGpu, (perGpu.get(assignedGpu) ?? 0) + 1);
  }
  const untaken = attemptEnds(agents.filter((agent) => !killed.includes(agent))).filter(({ request, attempt, outcome }) => outcome === "succeeded" && listed.get(request)?.attempts !== attempt);
  expect(untaken).toEqual([]);
  expect(new Map(report.gpus.map((gpu) => [gpu.gpu_id, gpu.completed]))).toEqual(perGpu);
  expect([...succeeded.keys()].filter((requestId) => !listed.has(requestId))).toEqual([]);
}

/** How many attempts have ended on the agents so far. */
export function endsSoFar(agents: readonly TestProcess[]): number {
  return agents.reduce((sum, agent) => sum + agent.logged.filter(({ msg }) => msg === "attempt ended").length, 0);
}
