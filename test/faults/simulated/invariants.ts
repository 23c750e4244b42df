// What must hold in every simulated run, after every step. Each is a function of what can be seen and throws a Violation with its own name.
import type { ConnectResponse } from "../../../gen/gpurouter/v1/agent_pb.js";
import type { RequestView } from "../../../src/api/router-port.js";
import type { Engine } from "../../../src/core/engine.js";
import type { GpuId } from "../../../src/core/model/ids.js";
import { gpusOf, isExclusive, isTerminal, type Request } from "../../../src/core/model/request.js";
import { STOP_GRACE_MS } from "../../../src/core/records.js";
import type { CoreSettings } from "../../../src/core/settings.js";
import { takeSnapshot } from "../../../src/core/snapshot.js";
import type { Facts } from "./facts.js";
import type { Execution, Executions } from "./executions.js";
import type { Told } from "./simulated-client.js";
import type { Heard } from "./simulated-receiver.js";
import { Violation } from "./violation.js";

/** How late a tick may be when nobody pauses the router, and how coarse its timers are, ms. */
const TIMER_SLACK_MS = 200;

/** Whoever was told that a request is accepted can count on it: it lives, or its end is known. */
export function nothingAcknowledgedIsLost(promised: ReadonlySet<string>, engine: Engine, hasEnded: (requestId: string) => boolean): void {
  for (const requestId of promised) {
    if (!engine.state.requests.has(requestId as Request["spec"]["requestId"]) && !hasEnded(requestId)) {
      throw new Violation("nothingAcknowledgedIsLost", `${requestId} was acknowledged, is not live, and has no end`);
    }
  }
}

/** An attempt is sent to one node, and the next one only when it is over, on the disk too. `sent` is where each attempt went. */
export function oneLiveAttemptPerRequest(nodeId: string, message: ConnectResponse, sent: Map<string, string>, facts: Facts): void {
  for (const { ref } of message.dispatches) {
    const key = `${ref?.requestId}#${ref?.attempt}`;
    const before = sent.get(key);
    if (before !== undefined && before !== nodeId) throw new Violation("oneLiveAttemptPerRequest", `${key} was sent to ${before} and is sent to ${nodeId}`);
    sent.set(key, nodeId);
    if (ref && facts.attempt.get(ref.requestId) !== ref.attempt && facts.wasPlaced(ref.requestId, ref.attempt)) {
      throw new Violation("oneLiveAttemptPerRequest", `${key} is sent to ${nodeId} although attempt ${facts.attempt.get(ref.requestId)} has taken its place`);
    }
  }
}

/** Work that saves what it has done goes on from there when an attempt had begun, as far as is known; nothing else believes that it does. */
export function savedWorkGoesOn(message: ConnectResponse, facts: Facts, savesWork: (requestId: string) => boolean): void {
  for (const { ref, continues } of message.dispatches) {
    const { requestId = "", attempt = 0 } = ref ?? {};
    const should = savesWork(requestId) && attempt > (facts.interrupted.get(requestId) ?? Number.POSITIVE_INFINITY);
    if (continues !== should) throw new Violation("savedWorkGoesOn", `${requestId}#${attempt} is told to ${continues ? "go on" : "begin anew"}`);
  }
}

/** Work that must not run twice makes headway in one place at a time, whatever anybody believes. */
export function mustNotRunTwiceRunsOnce(executions: Executions, nowMs: number): void {
  const where = new Map<string, string>();
  for (const { requestId, attempt, nodeId, mustNotRunTwice } of executions.running(nowMs)) {
    if (!mustNotRunTwice) continue;
    const here = `attempt ${attempt} on ${nodeId}`;
    const there = where.get(requestId);
    if (there !== undefined) throw new Violation("mustNotRunTwiceRunsOnce", `${requestId} runs as ${there} and as ${here}`);
    where.set(requestId, here);
  }
}

/** The order to restart a GPU is carried out once, whatever processes of its agent there are. */
export function restartsAreRunOnce(restartId: string, times: number): void {
  if (times > 1) throw new Violation("restartsAreRunOnce", `restart ${restartId} was run ${times} times`);
}

/** No command begins once the router has stopped waiting for it: others may be at work on the GPU by then. */
export function restartsAreAwaited(restartId: string, isOver: boolean): void {
  if (isOver) throw new Violation("restartsAreAwaited", `restart ${restartId} begins after it was over`);
}

/** A GPU is restarted when nothing makes headway on it; what may run twice and was given up may still. `running` is what its machine runs. */
export function restartsFindNothing(restartId: string, gpuIds: readonly string[], running: readonly Execution[], known: Facts): void {
  for (const { requestId, attempt, gpuIds: on, mustNotRunTwice } of running) {
    if (!on.some((gpuId) => gpuIds.includes(gpuId)) || (!mustNotRunTwice && !known.isOn(requestId, attempt))) continue;
    throw new Violation("restartsFindNothing", `${requestId}#${attempt} runs when restart ${restartId} begins`);
  }
}

/** What a caller has seen to have ended stays so, with the same end. */
export function oneEndPerRequest({ spec, ends, revived }: Told): void {
  const [first, ...others] = ends;
  if (revived) throw new Violation("oneEndPerRequest", `${spec.requestId} was seen alive after its end`);
  for (const other of others) {
    if (other.phase !== first?.phase || other.code !== first.code || other.result !== first.result) {
      throw new Violation("oneEndPerRequest", `${spec.requestId} was seen as ${JSON.stringify(first)} and as ${JSON.stringify(other)}`);
    }
  }
}

/** An id stands for one request: repeats of it are known, and nothing else is taken for it. */
export function idsAreKept({ spec, mistaken }: Told): void {
  if (mistaken !== "") throw new Violation("idsAreKept", `${spec.requestId}: ${mistaken}`);
}

/** A result is what an attempt of this request gave that ran to its end, and not what somebody made up. */
export function resultsAreTrue({ request, result }: RequestView, executions: Executions): void {
  if (request.phase !== "completed") return;
  const { requestId } = request.spec;
  const text = result ? new TextDecoder().decode(result) : "";
  if ((executions.succeeded.get(requestId) ?? 0) === 0) throw new Violation("resultsAreTrue", `${requestId} is completed and has never run to its end`);
  if (!text.startsWith(`${requestId} attempt `)) throw new Violation("resultsAreTrue", `${requestId} has the result ${JSON.stringify(text)}`);
}

/** No GPU has more live attempts than slots, more memory promised than it may, or company where one wants to be alone. */
export function noGpuIsOverCommitted(engine: Engine, settings: CoreSettings): void {
  const { fleet } = engine.state;
  const byGpu = new Map<string, Request[]>();
  for (const request of engine.state.requests.values()) {
    if (request.phase === "queued") continue;
    for (const gpuId of gpusOf(request)) byGpu.set(gpuId, [...(byGpu.get(gpuId) ?? []), request]);
  }
  for (const [gpuId, requests] of byGpu) {
    const broken = (what: string): never => {
      throw new Violation("noGpuIsOverCommitted", `${gpuId} has ${requests.map(({ spec, attempt }) => `${spec.requestId}#${attempt}`).join(", ")}: ${what}`);
    };
    if (requests.length > settings.maxConcurrentTasksPerGpu) broken(`more than ${settings.maxConcurrentTasksPerGpu} slots`);
    if (requests.length > 1 && requests.some(({ spec }) => isExclusive(spec, settings.exclusiveTypes))) broken("one of them is to have it to itself");
    const reservedMib = requests.reduce((sum, request) => sum + engine.state.reservedMib(request), 0);
    if (reservedMib > fleet.inventory[fleet.indexOf(gpuId as GpuId)]!.memoryTotalMib * settings.memoryThreshold) broken(`${reservedMib} MiB are more than the threshold`);
  }
}

/** What GPUs are booked with is what the live requests hold, and whoever waits waits in one place. */
export function ledgerIsWhatIsLive(engine: Engine): void {
  try {
    engine.state.check();
  } catch (error) {
    throw new Violation("ledgerIsWhatIsLive", (error as Error).message);
  }
}

/** Nobody waits after a tick who could run now. */
export function noIdleGpuWhileSomebodyWaits(engine: Engine, nowMs: number): void {
  const { queue, fleet } = engine.state;
  // GPUs that are kept for somebody are idle on purpose.
  if (fleet.reservations.size > 0) return;
  for (const { spec, estimate } of queue.heads()) {
    // What promises allow hangs on the moment of arrival too, which Explain does not know.
    if (estimate.outputTokens !== undefined) continue;
    const fits = engine.explain(spec, nowMs).candidates[0];
    if (fits) throw new Violation("noIdleGpuWhileSomebodyWaits", `${spec.requestId} waits though ${fits.gpuId} could take it`);
  }
}

/** A time-out ends its request in time, and a stop that nobody confirms ends it after its grace. `nowMs` is the router's own. */
export function waitingIsBounded(engine: Engine, nowMs: number): void {
  for (const { spec, deadlineAtMs, stop } of engine.state.requests.values()) {
    if (deadlineAtMs > 0 && !stop && nowMs > deadlineAtMs + TIMER_SLACK_MS) throw new Violation("waitingIsBounded", `${spec.requestId} should have timed out ${Math.round(nowMs - deadlineAtMs)} ms ago`);
    if (stop && nowMs > stop.atMs + STOP_GRACE_MS + TIMER_SLACK_MS) throw new Violation("waitingIsBounded", `${spec.requestId} should have stopped ${Math.round(nowMs - stop.atMs - STOP_GRACE_MS)} ms ago`);
  }
}

/** The records as they can be read back give the state that wrote them. `deeply`: all of it, not only its digest. */
export function recordsGiveTheState(engine: Engine, replayed: Engine, deeply: boolean): void {
  if (engine.state.digest() !== replayed.state.digest()) throw new Violation("recordsGiveTheState", `the digest of ${engine.state.requests.size} live requests differs from that of the replayed records`);
  if (!deeply) return;
  const [live, folded] = [durableText(engine), durableText(replayed)];
  if (live === folded) return;
  const at = [...live].findIndex((letter, index) => letter !== folded[index]);
  throw new Violation("recordsGiveTheState", `the state is …${live.slice(Math.max(0, at - 80), at + 80)}…, the records give …${folded.slice(Math.max(0, at - 80), at + 80)}…`);
}

/** The durable half of the state; a retry that is due counts as waiting, progress is not durable. */
function durableText(engine: Engine): string {
  const { requests, ...rest } = takeSnapshot(engine.state);
  const lives = requests.map(({ request, reservedMib, waiting }) => ({
    request: { ...request, progress: 0 },
    reservedMib,
    waiting: waiting && { estimate: waiting.estimate, avoidGpuId: waiting.avoidGpuId },
  }));
  return JSON.stringify({ ...rest, lives }, sameForSame);
}

/** A callback that leaves tells what is on the disk. */
export function callbacksAreDurable(requestId: string, { type, status }: Heard, facts: Facts): void {
  if (type === "request.rerouted") return;
  const durable = facts.ended.get(requestId);
  if (durable === undefined || status !== `REQUEST_STATE_${durable.toUpperCase()}`) throw new Violation("callbacksAreDurable", `${requestId} is told as ${status}, the disk has ${durable ?? "no end"}`);
}

/** Whoever left an address has been told everything in its order, the end once and last; nobody else has been told anything. `heard` is without repeats. */
export function callbacksAreTold({ spec, ends }: Told, heard: readonly Heard[]): void {
  const broken = (what: string): never => {
    throw new Violation("callbacksAreTold", `${spec.requestId} ${what}: ${heard.map(({ type, sequence, status }) => `${type} ${sequence} ${status}`).join(", ") || "nothing was heard"}`);
  };
  if (spec.callbackUrl === "") return heard.length > 0 ? broken("left no address") : undefined;
  if (heard.some(({ sequence }, place) => place > 0 && sequence <= (heard[place - 1]?.sequence ?? 0))) broken("was told out of order");
  if (heard.filter(({ type }) => type === "request.ended").length !== 1 || heard.at(-1)?.type !== "request.ended") broken("was not told of its end, once and last");
  if (heard.at(-1)?.status !== `REQUEST_STATE_${ends[0]?.phase.toUpperCase()}`) broken(`has ended as ${ends[0]?.phase}`);
}

/** Equal values give equal texts, in whatever order their fields were written, and whatever holds their bytes. */
function sameForSame(_key: string, value: unknown): unknown {
  if (value instanceof Uint8Array) return [...value];
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  // A Buffer has told what it is before anybody asked.
  if ("data" in value && "type" in value && value.type === "Buffer") return value.data;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** What agents are sent is on the disk: the epoch, each placement, the end of each attempt that they may forget. */
export function wordsToAgentsAreDurable(nodeId: string, message: ConnectResponse, sent: ReadonlyMap<string, string>, facts: Facts): void {
  if (message.welcome && Number(message.welcome.epoch) > facts.epoch) throw new Violation("wordsToAgentsAreDurable", `epoch ${message.welcome.epoch} is not on the disk`);
  for (const { ref } of message.dispatches) {
    if (ref && !facts.wasPlaced(ref.requestId, ref.attempt)) throw new Violation("wordsToAgentsAreDurable", `the placement of ${ref.requestId}#${ref.attempt} is not on the disk`);
  }
  for (const ref of message.acknowledged) {
    // Whoever tells of what was never its own may forget that at any time.
    const own = sent.get(`${ref.requestId}#${ref.attempt}`) === nodeId;
    if (own && facts.isOn(ref.requestId, ref.attempt)) throw new Violation("wordsToAgentsAreDurable", `${ref.requestId}#${ref.attempt} may be forgotten, but its end is not on the disk`);
  }
}

/** What callers are told is on the disk: an acceptance, an end. */
export function wordsToCallersAreDurable(requestId: string, view: RequestView | null, facts: Facts): void {
  if (!facts.accepted.has(requestId)) throw new Violation("wordsToCallersAreDurable", `the acceptance of ${requestId} is not on the disk`);
  if (!view || !isTerminal(view.request.phase)) return;
  const durable = facts.ended.get(requestId);
  if (durable !== view.request.phase) throw new Violation("wordsToCallersAreDurable", `${requestId} is told as ${view.request.phase}, the disk has ${durable ?? "no end"}`);
}
