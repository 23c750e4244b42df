// A request in words and colours, for `status`, `list`, `watch`, `cancel` and `route`.
import { RequestState, type RequestInfo, type Slo } from "../../gen/gpurouter/v1/router_pb.js";
import { countText, durationText, printable, shareText, timeMs, timeText } from "./quantity-text.js";
import type { Style } from "./style.js";

/** "queued", "processing", … as the contract's enum says it. */
function stateName(state: RequestState): string {
  return (RequestState[state] ?? `state ${state}`).toLowerCase();
}

/** The state in its colour. */
export function stateText(state: RequestState, style: Style): string {
  const name = stateName(state);
  if (state === RequestState.COMPLETED) return style.green(name);
  if (state === RequestState.FAILED) return style.red(name);
  if (state === RequestState.CANCELLED) return style.yellow(name);
  return style.cyan(name);
}

/** Why it failed, in one line; "" when it did not. */
export function errorText(request: RequestInfo): string {
  const { error } = request;
  if (error === undefined) return "";
  const exit = error.exitCode === undefined ? "" : ` (exit code ${error.exitCode})`;
  return printable(`${error.code}: ${error.message}`) + exit;
}

/** From acceptance to the start of the last attempt, ms; null before that. */
export function queueWaitMs(request: RequestInfo): number | null {
  const accepted = timeMs(request.acceptedTime);
  const started = timeMs(request.startTime);
  return accepted === null || started === null ? null : Math.max(0, started - accepted);
}

/** Where a request stands, in one line without its id. */
export function standingText(request: RequestInfo, style: Style): string {
  const state = stateText(request.state, style);
  const on = onText(request);
  switch (request.state) {
    case RequestState.QUEUED:
      return `${state}, ${countText(request.queuePosition)} ahead`;
    case RequestState.PROCESSING:
      return `${state}${on}${request.attempts > 1 ? `, attempt ${request.attempts}` : ""}`;
    case RequestState.FAILED:
      return `${state}${on} ${ranText(request)}: ${errorText(request)}`;
    default:
      return `${state}${on} ${ranText(request)}`;
  }
}

/** How long one that has ended ran, or that it, or its last attempt, never began to. */
function ranText({ startTime, durationMs, attempts }: RequestInfo): string {
  if (startTime !== undefined) return `after ${durationText(Number(durationMs))}`;
  return `before ${attempts > 1 ? `attempt ${attempts}` : "it"} started`;
}

/** The GPUs of a request or of the answer to a route, with commas between; "" without any. A router of old tells of one only. */
export function gpusText({ assignedGpu, assignedGpus }: Pick<RequestInfo, "assignedGpu" | "assignedGpus">): string {
  return (assignedGpus.length > 0 ? assignedGpus : assignedGpu === "" ? [] : [assignedGpu]).map(printable).join(", ");
}

/** " on …" for where it is; "" when it is nowhere. */
export function onText(where: Pick<RequestInfo, "assignedGpu" | "assignedGpus">): string {
  const gpus = gpusText(where);
  return gpus === "" ? "" : ` on ${gpus}`;
}

function sloText({ firstOutputMs, totalMs }: Slo): string {
  const first = firstOutputMs > 0n ? [`first output within ${durationText(Number(firstOutputMs))}`] : [];
  return [...first, ...(totalMs > 0n ? [`done within ${durationText(Number(totalMs))}`] : [])].join(", ");
}

/** Everything known of a request, a name and a value per line. */
export function requestDetails(request: RequestInfo, style: Style): string {
  const rows: [string, string][] = [
    ["request", printable(request.requestId)],
    ["state", stateText(request.state, style)],
    ["model", printable(request.modelId)],
    ["type", printable(request.type)],
    ["user", printable(request.userId)],
    ["priority", String(request.priority)],
  ];
  if (request.state === RequestState.QUEUED) rows.push(["ahead in queue", countText(request.queuePosition)]);
  if (request.assignedGpu !== "") rows.push(["gpu", gpusText(request)]);
  if (request.attempts > 0) rows.push(["attempts", String(request.attempts)]);
  if (request.gpus > 1) rows.push(["gpus at once", countText(request.gpus)]);
  if (request.slo !== undefined) rows.push(["slo", sloText(request.slo)]);
  if (request.deadline !== undefined) rows.push(["deadline", timeText(request.deadline)]);
  rows.push(["accepted", timeText(request.acceptedTime)]);
  if (request.startTime !== undefined) rows.push(["started", `${timeText(request.startTime)} (waited ${durationText(queueWaitMs(request))})`]);
  if (request.completionTime !== undefined) rows.push(["ended", `${timeText(request.completionTime)} (${request.startTime === undefined ? ranText(request) : `ran ${durationText(Number(request.durationMs))}`})`]);
  if (request.state === RequestState.PROCESSING) rows.push(["progress", shareText(request.progress)]);
  if (request.error !== undefined) rows.push(["error", style.red(errorText(request))]);
  if (request.resultSize > 0n) rows.push(["result", `${countText(Number(request.resultSize))} bytes of ${printable(request.resultContentType) || "unknown type"}`]);
  if (request.resultUrl !== "") rows.push(["result at", printable(request.resultUrl)]);
  const statistics = request.statistics;
  if (statistics !== undefined) {
    if (statistics.inputTokens + statistics.outputTokens > 0) {
      rows.push(["tokens", `${countText(statistics.inputTokens)} in, ${countText(statistics.outputTokens)} out`]);
    }
    if (statistics.firstOutputMs > 0) rows.push(["first output", `after ${durationText(statistics.firstOutputMs)}`]);
    if (statistics.peakMemoryMib > 0) rows.push(["peak memory", `${countText(statistics.peakMemoryMib)} MiB`]);
  }
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, value]) => `${style.dim(name.padEnd(width))}  ${value}\n`).join("");
}
