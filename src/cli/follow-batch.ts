// `route --batch --wait`: follows the requests of one call to their ends. Each end is a line of JSON on stdout, as it comes; how far it
// is goes to stderr. Ctrl-C detaches; it never cancels the work.
import { RequestState, RouteResponseSchema, RouteStatus, StatusResponseSchema, type RequestInfo, type RouteResponse } from "../../gen/gpurouter/v1/router_pb.js";
import { create } from "@bufbuild/protobuf";
import { seededRandom } from "../lib/random.js";
import { systemClock } from "./clock.js";
import { ExitCode } from "./failure.js";
import { jsonLine, messageJson } from "./json-output.js";
import { progressBar, progressLine } from "./progress-line.js";
import { countText, durationText, printable } from "./quantity-text.js";
import { gpusText, stateName } from "./request-text.js";
import { nextCommand, type RouterSession } from "./router-command.js";
import { styleFor } from "./style.js";
import { write, type Terminal } from "./terminal.js";
import { isFinal, watchToEnd } from "./watch-to-end.js";

// How long to look for a router that went away, ms.
const GIVE_UP_MS = 120_000;
const LOG_MS = 10_000;

/** One request of the batch: the answer to it, and the line of the file that it came from. */
export interface Sent {
  readonly line: number;
  readonly response: RouteResponse;
}

interface Counts {
  completed: number;
  failed: number;
  cancelled: number;
  /** Nothing was heard since the connection broke. */
  away: boolean;
}

/** Follows all to their ends and gives the exit code: 0 all completed, 1 one failed or was rejected, 3 one was cancelled, 130 detached. */
export async function followBatch(session: RouterSession, sent: readonly Sent[]): Promise<number> {
  const { terminal } = session;
  const detach = new AbortController();
  // One for all of them, so that they do not come back at the same moment.
  const random = seededRandom(process.pid);
  const stopListening = terminal.onInterrupt(() => detach.abort());
  const counts: Counts = { completed: 0, failed: 0, cancelled: 0, away: false };
  const progress = showProgress(terminal, counts, sent.length);
  // Written one after the other, so that a slow reader holds up all and memory stays bounded.
  let written = Promise.resolve();
  const tell = (line: string): Promise<void> => (written = written.then(() => progress.print(line)));
  try {
    await Promise.all(
      sent.map(async ({ line, response }) => {
        if (response.status === RouteStatus.REJECTED) {
          counts.failed += 1;
          return await tell(rejectedLine(session, line, response));
        }
        const request = await endOf(session, response.requestId, random, detach.signal, (away) => {
          counts.away = away;
        });
        if (request === null) return;
        counts[outcomeOf(request)] += 1;
        await tell(session.json ? jsonLine(StatusResponseSchema, create(StatusResponseSchema, { request })) : endLine(line, request));
      }),
    );
  } finally {
    // Those that still follow when one cannot be followed any more.
    detach.abort();
    progress.stop();
    stopListening();
  }
  const { completed, failed, cancelled } = counts;
  const left = sent.length - completed - failed - cancelled;
  if (left > 0) {
    await write(terminal.stderr, `Detached; ${countText(left)} of ${countText(sent.length)} requests go on. See them with \`${nextCommand("list", session)}\`.\n`);
    return ExitCode.interrupted;
  }
  if (failed > 0) return ExitCode.failed;
  return cancelled > 0 ? ExitCode.cancelled : ExitCode.ok;
}

/** null when it was detached from. */
async function endOf({ client }: RouterSession, requestId: string, random: () => number, signal: AbortSignal, isAway: (away: boolean) => void): Promise<RequestInfo | null> {
  const events = watchToEnd(client, requestId, { clock: systemClock, random, giveUpMs: GIVE_UP_MS, firstGiveUpMs: GIVE_UP_MS, signal, onRetry: () => isAway(true) });
  let last: RequestInfo | null = null;
  for await (const { event } of events) {
    isAway(false);
    if (event.case === "request" && isFinal(event.value.state)) last = event.value;
  }
  return last;
}

function outcomeOf({ state }: RequestInfo): "completed" | "failed" | "cancelled" {
  if (state === RequestState.COMPLETED) return "completed";
  return state === RequestState.CANCELLED ? "cancelled" : "failed";
}

function rejectedLine({ json }: RouterSession, line: number, response: RouteResponse): string {
  if (json) return `${JSON.stringify({ response: messageJson(RouteResponseSchema, response) })}\n`;
  const { requestId, rejection, message } = response;
  return `${JSON.stringify({ line, request_id: requestId, state: "rejected", error: { code: rejection, message } })}\n`;
}

/** What a script wants of an end: its result as JSON or text where it is that. */
function endLine(line: number, request: RequestInfo): string {
  const { error } = request;
  return `${JSON.stringify({
    line,
    request_id: request.requestId,
    state: stateName(request.state),
    gpu: gpusText(request),
    duration_ms: Number(request.durationMs),
    ...resultOf(request),
    ...(error && { error: { code: error.code, message: error.message, ...(error.exitCode !== undefined && { exit_code: error.exitCode }) } }),
  })}\n`;
}

/** Larger ones than are told with the request are fetched from `result_url`. */
function resultOf({ result, resultSize, resultContentType, resultUrl }: RequestInfo): object {
  if (resultSize === 0n) return {};
  if (result.length === 0) return { result_url: resultUrl };
  const text = new TextDecoder().decode(result);
  if (/json/.test(resultContentType)) {
    try {
      return { result: JSON.parse(text) as unknown };
    } catch {
      return { result: text };
    }
  }
  return resultContentType.startsWith("text/") ? { result: text } : { result_base64: Buffer.from(result).toString("base64") };
}

/** How far it is, on stderr. `print` writes to stdout above it. */
function showProgress(terminal: Terminal, counts: Readonly<Counts>, total: number): { print(line: string): Promise<void>; stop(): void } {
  const { stdout, stderr, env } = terminal;
  const startMs = systemClock.now();
  const line = progressLine(terminal, "batch", LOG_MS, () => {
    const done = counts.completed + counts.failed + counts.cancelled;
    const bad = [...(counts.failed > 0 ? [`${countText(counts.failed)} failed`] : []), ...(counts.cancelled > 0 ? [`${countText(counts.cancelled)} cancelled`] : [])];
    const text = printable([`${countText(done)} of ${countText(total)} ended`, ...bad, durationText(Math.floor((systemClock.now() - startMs) / 1000) * 1000), ...(counts.away ? ["connection lost, trying again"] : [])].join(", "));
    return { bar: progressBar(done, total), text };
  }, styleFor(stderr, env).dim);
  return {
    async print(printed) {
      if (line.redraws && stdout.isTTY === true) stderr.write("\r\u001B[K");
      await write(stdout, printed);
    },
    stop() {
      line.stop();
      line.show();
      if (line.redraws) stderr.write("\n");
    },
  };
}
