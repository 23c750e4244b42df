// Sends a schedule to a router, open loop: send times come from the schedule and wait for no answer, so a slow router
// meets the same load as a fast one, and every latency counts from the time the trace wanted. It sends and follows;
// `report.ts` counts. Memory is bounded by the schedule's limit.
import { setImmediate as nextTurn } from "node:timers/promises";

import type { RouterClient } from "../../api/client.js";
import { MAX_TIMER_MS } from "../../lib/max-timer.js";
import type { Clock } from "../clock.js";
import { followRequest, type FollowSettings } from "./follow-request.js";
import { newOutcome, type Fate, type RequestOutcome } from "./outcome.js";
import type { ScheduledRequest } from "./schedule.js";

export interface RunSettings extends FollowSettings {
  /** Requests sent and not ended at most; sending waits above it, and the report says so. */
  readonly maxInFlight: number;
}

/** Where a replay stands, kept up to date while it runs. */
export type RunCounters = Record<Fate | "sent" | "inFlight", number>;

export interface ReplayRun {
  readonly outcomes: readonly RequestOutcome[];
  /** UTC ms. */
  readonly startedAtMs: number;
  /** Until the last end was seen, ms. */
  readonly elapsedMs: number;
  /** How often the bound on requests in flight held a request back, and for how long at most. */
  readonly heldBack: { readonly count: number; readonly longestMs: number };
  /** Share of the time in which this process itself was busy, 0..1. Near 1 the generator is what is measured. */
  readonly generatorBusyShare: number;
}

export interface RunControl {
  readonly clock: Clock;
  readonly random: () => number;
  /** Sends no more; what is in flight is still followed. */
  readonly stop: AbortSignal;
  /** Gives up on what is in flight. */
  readonly quit: AbortSignal;
  readonly counters: RunCounters;
}

// Sends in a row without letting sockets and timers have their turn.
const SENDS_PER_TURN = 32;

export function newCounters(): RunCounters {
  return { sent: 0, inFlight: 0, completed: 0, failed: 0, cancelled: 0, refused: 0, unanswered: 0, lost: 0, unfinished: 0 };
}

/** Resolves when every request that was sent has met its fate. Rejects only when the schedule itself cannot be read. */
export async function runReplay(
  requests: AsyncIterable<ScheduledRequest>,
  client: Pick<RouterClient, "route" | "watch" | "status">,
  settings: RunSettings,
  control: RunControl,
): Promise<ReplayRun> {
  const { clock, stop, counters } = control;
  const outcomes: RequestOutcome[] = [];
  const inFlight = new Set<AbortController>();
  const heldBack = { count: 0, longestMs: 0 };
  const startedAtMs = Date.now();
  const startMs = clock.now();
  const loadBefore = performance.eventLoopUtilization();
  // Called when a place becomes free, everything has ended, or Ctrl-C changed what is waited for.
  let wake = (): void => {};
  const changed = (): Promise<void> => new Promise((resolve) => (wake = resolve));
  const onQuit = (): void => {
    for (const controller of inFlight) controller.abort();
    wake();
  };
  const onStop = (): void => wake();
  stop.addEventListener("abort", onStop);
  control.quit.addEventListener("abort", onQuit);

  const send = async (request: ScheduledRequest): Promise<void> => {
    const sinceStart = (): number => clock.now() - startMs;
    const outcome = newOutcome(`replay-${settings.runId}-${request.number}`, request.tenant, request.dueMs, Math.max(0, sinceStart() - request.dueMs));
    const controller = new AbortController();
    outcomes.push(outcome);
    inFlight.add(controller);
    counters.sent += 1;
    counters.inFlight += 1;
    await followRequest(client, request, outcome, settings, { clock, random: control.random, sinceStart, signal: controller.signal });
    inFlight.delete(controller);
    counters.inFlight -= 1;
    counters[outcome.fate] += 1;
    wake();
  };

  try {
    let sentThisTurn = 0;
    for await (const request of requests) {
      for (let leftMs = startMs + request.dueMs - clock.now(); leftMs > 0 && !stop.aborted; leftMs = startMs + request.dueMs - clock.now()) {
        await clock.sleep(Math.min(leftMs, MAX_TIMER_MS), stop);
        sentThisTurn = 0;
      }
      if (inFlight.size >= settings.maxInFlight) {
        const heldFromMs = clock.now();
        while (inFlight.size >= settings.maxInFlight && !stop.aborted) await changed();
        heldBack.count += 1;
        heldBack.longestMs = Math.max(heldBack.longestMs, clock.now() - heldFromMs);
      }
      if (stop.aborted) break;
      void send(request);
      sentThisTurn += 1;
      if (sentThisTurn >= SENDS_PER_TURN) {
        sentThisTurn = 0;
        await nextTurn();
      }
    }
    while (inFlight.size > 0) await changed();
  } finally {
    onQuit();
    stop.removeEventListener("abort", onStop);
    control.quit.removeEventListener("abort", onQuit);
  }
  return { outcomes, startedAtMs, elapsedMs: clock.now() - startMs, heldBack, generatorBusyShare: performance.eventLoopUtilization(loadBefore).utilization };
}
