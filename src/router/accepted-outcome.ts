// What Route tells of a request that was accepted, now or before: where it stands and when it may begin.
import type { RouteOutcome } from "../api/router-port.js";
import { expectedTime } from "../core/model/decision.js";
import { gpusOf, isTerminal, type Request, type RequestSpec } from "../core/model/request.js";
import type { CoreSettings } from "../core/settings.js";
import type { State } from "../core/state.js";

export function acceptedOutcome(request: Request, state: State, settings: CoreSettings, nowMs: number): RouteOutcome {
  const { spec, phase } = request;
  const { queue } = state;
  const queued = phase === "queued";
  const queuePosition = queued ? Math.max(0, queue.counts.lengthBefore(spec.priority) - 1) : 0;
  // Of what nobody can take no time is known.
  const startAtMs = queued ? (queue.isHopeless(spec.requestId) ? 0 : nowMs + queueDelayMs(spec, state, settings)) : request.startedAtMs || request.placedAtMs;
  const durationMs = (request.decision && expectedTime(request.decision).durationMs) ?? queue.get(spec.requestId)?.estimate.durationMs ?? 0;
  const message = isTerminal(phase) ? `Already ${phase}.` : queued ? waitingFor(state, spec) : "";
  return {
    kind: "accepted",
    requestId: spec.requestId,
    phase,
    gpuIds: gpusOf(request),
    estimatedStartAtMs: queued && startAtMs === 0 ? 0 : startAtMs,
    estimatedCompletionAtMs: isTerminal(phase) ? request.endedAtMs : startAtMs === 0 ? 0 : startAtMs + durationMs,
    queuePosition,
    message,
  };
}

/** A rough guess of the wait of a newcomer, ms: what is ahead, at one estimate each, over all slots. */
function queueDelayMs(spec: RequestSpec, { queue, fleet }: State, settings: CoreSettings): number {
  const slots = fleet.size * settings.maxConcurrentTasksPerGpu;
  const durationMs = queue.get(spec.requestId)?.estimate.durationMs ?? 0;
  return slots === 0 ? 0 : Math.ceil((queue.counts.lengthBefore(spec.priority) / slots) * durationMs);
}

function waitingFor({ queue }: State, spec: RequestSpec): string {
  if (queue.isHopeless(spec.requestId)) return "No connected GPU can take it, however idle; it waits for one that can. Explain says what it needs.";
  return queue.isHeld(spec) ? "Waiting for room under the quota. Explain says which." : "Waiting for a GPU.";
}
