// One replayed request from Route to its end: sends again under the same id while the router is away (the id makes that
// safe), then watches. Never throws; whatever happens is written into the outcome.
import { create } from "@bufbuild/protobuf";
import { status } from "@grpc/grpc-js";

import { RequestState, RouteRequestSchema, type RequestInfo, type RouteRequest } from "../../../gen/gpurouter/v1/router_pb.js";
import type { RouterClient } from "../../api/client.js";
import { backOffMs, type Clock } from "../clock.js";
import { isServiceError, isTransient, statusName } from "../failure.js";
import { timeMs } from "../quantity-text.js";
import { queueWaitMs } from "../request-text.js";
import { isFinal, watchToEnd } from "../watch-to-end.js";
import type { Fate, RequestOutcome } from "./outcome.js";
import type { ReplaySlos } from "./replay-slos.js";
import type { ScheduledRequest } from "./schedule.js";

export interface FollowSettings {
  /** Part of every request id, so that two replays never share one. */
  readonly runId: string;
  readonly model: string;
  /** What is wished of each request; null for nothing. */
  readonly slos: ReplaySlos | null;
  /** 0 means the router's default, ms. */
  readonly timeoutMs: number;
  /** Size of the payload; 0 sends none, or as little as it takes to say a length that is not told. */
  readonly payloadBytes: number;
  /** Whether the router is told how long answers will be; if not, the payload says it, which only the runner reads. */
  readonly tellLengths: boolean;
  /** How long to look for a router that is away, ms. */
  readonly giveUpMs: number;
}

export interface FollowControl {
  readonly clock: Clock;
  readonly random: () => number;
  /** Milliseconds since the start of the replay. */
  readonly sinceStart: () => number;
  readonly signal: AbortSignal;
}

type Client = Pick<RouterClient, "route" | "watch" | "status">;

// One try of Route; a router that is alive answers in milliseconds, ms.
const ROUTE_DEADLINE_MS = 10_000;

// What the contract takes.
const MAX_PREFIX_HASHES = 4096;

const FATES: Partial<Record<RequestState, Fate>> = {
  [RequestState.COMPLETED]: "completed",
  [RequestState.FAILED]: "failed",
  [RequestState.CANCELLED]: "cancelled",
};

/** Resolves when the request has met its fate, which is then in `outcome`. */
export async function followRequest(client: Client, request: ScheduledRequest, outcome: RequestOutcome, settings: FollowSettings, control: FollowControl): Promise<void> {
  try {
    await routeUntilAnswered(client, routeRequest(request, outcome.requestId, settings), outcome, settings, control);
    outcome.answeredMs = control.sinceStart();
    outcome.fate = "unfinished";
    await watchUntilEnded(client, outcome, settings, control);
    if (outcome.fate === "unfinished") outcome.code = "INTERRUPTED";
    else settings.slos?.learn(request);
  } catch (error) {
    // What comes behind a seen end changes nothing.
    if (outcome.ends > 0) return;
    outcome.code = control.signal.aborted ? "INTERRUPTED" : isServiceError(error) ? statusName(error.code) : "CLIENT_ERROR";
    if (outcome.fate === "unanswered" && !control.signal.aborted && !isTransient(error)) outcome.fate = "refused";
    if (outcome.fate === "unfinished" && isServiceError(error) && error.code === status.NOT_FOUND) outcome.fate = "lost";
  } finally {
    if (settings.slos) outcome.inSlo = outcome.fate === "completed" && settings.slos.kept(request, outcome);
  }
}

function routeRequest(request: ScheduledRequest, requestId: string, { model, timeoutMs, payloadBytes, tellLengths, slos }: FollowSettings): RouteRequest {
  const { tenant, priority, inputTokens, outputTokens, prefixHashes } = request;
  const wish = slos?.wish(request);
  return create(RouteRequestSchema, {
    requestId,
    userId: tenant,
    modelId: model,
    priority,
    timeoutMs: BigInt(timeoutMs),
    resourceRequirements: { inputTokens, outputTokens: tellLengths ? outputTokens : 0 },
    // A prompt of more blocks is known by its beginning.
    prefixHashes: prefixHashes.slice(0, MAX_PREFIX_HASHES),
    ...(wish && { slo: { firstOutputMs: BigInt(wish.firstOutputMs), totalMs: BigInt(wish.totalMs) } }),
    payload: payloadBytes === 0 && tellLengths ? { case: undefined } : { case: "payloadBytes", value: payload(payloadBytes, outputTokens) },
  });
}

/** A JSON object of that many bytes (or the fewest it takes) that completion servers understand. */
function payload(bytes: number, outputTokens: number): Uint8Array {
  const frame = JSON.stringify({ max_tokens: Math.max(1, outputTokens), prompt: "" });
  const filler = "the ".repeat(Math.ceil(bytes / 4)).slice(0, Math.max(0, bytes - frame.length));
  return Buffer.from(frame.slice(0, -2) + filler + frame.slice(-2));
}

async function routeUntilAnswered(client: Client, request: RouteRequest, outcome: RequestOutcome, settings: FollowSettings, control: FollowControl): Promise<void> {
  const { clock, random, signal } = control;
  const firstMs = clock.now();
  for (;;) {
    try {
      await client.route(request, { deadlineMs: ROUTE_DEADLINE_MS, signal });
      return;
    } catch (error) {
      if (signal.aborted || !isTransient(error) || clock.now() - firstMs >= settings.giveUpMs) throw error;
      outcome.retries += 1;
      await clock.sleep(backOffMs(outcome.retries, random), signal);
      if (signal.aborted) throw error;
    }
  }
}

async function watchUntilEnded(client: Client, outcome: RequestOutcome, settings: FollowSettings, control: FollowControl): Promise<void> {
  const { giveUpMs } = settings;
  const events = watchToEnd(client, outcome.requestId, {
    clock: control.clock,
    random: control.random,
    giveUpMs,
    firstGiveUpMs: giveUpMs,
    signal: control.signal,
    onRetry: () => (outcome.reconnects += 1),
  });
  for await (const { event } of events) {
    if (event.case === "output") outcome.firstOutputMs ??= control.sinceStart();
    if (event.case !== "request" || !isFinal(event.value.state)) continue;
    outcome.ends += 1;
    if (outcome.ends === 1) noteEnd(outcome, event.value, control.sinceStart());
  }
}

function noteEnd(outcome: RequestOutcome, request: RequestInfo, nowMs: number): void {
  outcome.fate = FATES[request.state] ?? "unfinished";
  outcome.code = request.error?.code ?? "";
  outcome.endedMs = nowMs;
  outcome.waitMs = queueWaitMs(request);
  outcome.gpuId = request.assignedGpu;
  outcome.acceptedAtMs = timeMs(request.acceptedTime);
  outcome.startedAtMs = timeMs(request.startTime);
  outcome.completedAtMs = timeMs(request.completionTime);
  outcome.attempts = request.attempts;
  const { statistics } = request;
  if (statistics === undefined) return;
  outcome.runMs = statistics.runMs;
  outcome.inputTokens = statistics.inputTokens;
  outcome.outputTokens = statistics.outputTokens;
  // A runner that streams nothing, or not at once, still says when its first token was ready, counted from the start of the run.
  const madeMs = statistics.firstOutputMs > 0 ? nowMs - Math.max(0, statistics.runMs - statistics.firstOutputMs) : Number.POSITIVE_INFINITY;
  const firstMs = Math.min(madeMs, outcome.firstOutputMs ?? Number.POSITIVE_INFINITY);
  outcome.firstOutputMs = firstMs === Number.POSITIVE_INFINITY ? null : firstMs;
}
