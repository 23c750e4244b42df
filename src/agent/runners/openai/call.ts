// One call of an OpenAI-compatible server, from the request to the outcome. Called by `openai.ts`.
// Does not choose the server, does not retry: a fault of the server is an outcome, and the router decides.
import { gpuFaultIn } from "../gpu-fault.js";
import { clip, emitOutput, unsuccessful } from "../outcome.js";
import type { JobOutcome, JobSink, JobStatistics } from "../runner.js";
import { Completion, serverError } from "./completion.js";
import type { CompletionRequest } from "./payload.js";
import { SseParser } from "./sse-parser.js";

/** Why a call is stopped from this side; the reason of the abort. */
export type StopReason = "cancelled" | "closed" | "silent";

/** What /v1 is under, also behind a proxy that gives each server a path: there is what a server has beside the OpenAI API. */
export function rootUrl({ baseUrl }: Pick<Server, "baseUrl">): string {
  return baseUrl.replace(/\/v1$/, "");
}

export interface Server {
  /** For messages. */
  readonly name: string;
  /** Such as http://127.0.0.1:8001/v1, without a slash at the end. */
  readonly baseUrl: string;
  /** "" without one. Never shown. */
  readonly apiKey: string;
}

export interface CallOptions {
  readonly server: Server;
  readonly request: Extract<CompletionRequest, { kind: "request" }>;
  readonly sink: JobSink;
  readonly maxResultBytes: number;
  /** How long the server may send nothing, ms. */
  readonly inactivityTimeoutMs: number;
  /** Aborted with a StopReason. The call aborts it as well, when the server is silent. */
  readonly stop: AbortController;
}

/** One event of a stream, and one line of it. A token with its log probabilities is a few KiB. */
const MAX_EVENT_CHARS = 1 << 20;
const MAX_ERROR_BODY_BYTES = 64 * 1024;
const MAX_SERVER_MESSAGE_CHARS = 2000;

/** The call in progress: what is known so far. */
class Call {
  readonly completion: Completion;
  readonly #startedAt = performance.now();
  readonly #options: CallOptions;
  readonly #encoder = new TextEncoder();
  /** To the first token, whatever it is part of; 0 when nothing was streamed. */
  #firstOutputMs = 0;

  constructor(options: CallOptions) {
    this.#options = options;
    this.completion = new Completion(options.maxResultBytes);
  }

  /** Takes in one JSON document of the server, a piece of a stream or all of the answer; an outcome when it ends the call. */
  take(json: string, streamed: boolean): JobOutcome | null {
    let document: unknown;
    try {
      document = JSON.parse(json);
    } catch {
      return this.end("unavailable", "server_error", `${this.#name} sent something that is not JSON: ${clip(json, 200)}`);
    }
    const effect = this.completion.add(document);
    switch (effect.kind) {
      case "error":
        return this.refused(effect.status, effect.message);
      case "too_large":
        return this.#tooLarge();
      case "text":
        if (streamed && this.#firstOutputMs === 0 && !this.completion.empty) this.#firstOutputMs = performance.now() - this.#startedAt;
        emitOutput(this.#options.sink, this.#encoder.encode(effect.text));
        return null;
    }
  }

  succeeded(): JobOutcome {
    const result = this.completion.toJson();
    if (result.length > this.#options.maxResultBytes) return this.#tooLarge();
    return { outcome: "succeeded", result, contentType: "application/json", statistics: this.#statistics() };
  }

  /** What a status other than 200 means. 0 stands for a fault without one. */
  refused(status: number, message: string): JobOutcome {
    const said = `${this.#name} answered${status === 0 ? "" : ` ${status}`}: ${clip(this.#redact(message), MAX_SERVER_MESSAGE_CHARS)}`;
    if (status === 429) return this.end("unavailable", "server_overloaded", said, "none");
    // The caller did nothing wrong: a key, a path or a model that this server does not have (any more), or its own time-out. Nor did the GPU.
    if ([401, 403, 404, 408].includes(status)) return this.end("unavailable", "server_refused", said, "none");
    if (status >= 400 && status < 500) return this.end("failed", "server_refused", said, "none");
    if (gpuFaultIn(message)) return this.end("unavailable", "gpu_fault", said, "gpu");
    return this.end("unavailable", "server_error", said);
  }

  /** An end without success; what has come of the completion goes with it where it fits. */
  end(outcome: "failed" | "unavailable" | "cancelled", code: string, message: string, fault?: "gpu" | "none"): JobOutcome {
    const partial = this.completion.empty ? new Uint8Array() : this.completion.toJson();
    const fits = partial.length > 0 && partial.length <= this.#options.maxResultBytes;
    return unsuccessful(outcome, code, message, {
      statistics: this.#statistics(),
      ...(fault && { fault }),
      ...(fits ? { result: partial, contentType: "application/json" } : {}),
    });
  }

  /** The outcome of an exception of fetch or of the body, or of a stop. `answered`: the server had said 200. */
  broken(error: unknown, answered: boolean): JobOutcome {
    const { stop, server, inactivityTimeoutMs } = this.#options;
    const reason = stop.signal.aborted ? (stop.signal.reason as StopReason) : null;
    const fault = faultOf(error);
    if (reason === "cancelled") return this.end("cancelled", "cancelled", "Cancelled while the server worked on it.");
    if (reason === "closed") return this.end("unavailable", "runner_closed", "The agent is stopping.", "none");
    if (reason === "silent" || fault.code === "UND_ERR_HEADERS_TIMEOUT" || fault.code === "UND_ERR_BODY_TIMEOUT") {
      const message = `${this.#name} sent nothing for ${inactivityTimeoutMs} ms; raise inactivity_timeout_s if it needs longer.`;
      return this.end("unavailable", "server_silent", message);
    }
    if (answered) return this.end("unavailable", "stream_cut", `${this.#name} cut the connection before the completion was done (${fault.text}).`);
    return this.end("unavailable", "server_unreachable", `${this.#name} cannot be reached at ${server.baseUrl} (${fault.text}); is it running?`);
  }

  #tooLarge(): JobOutcome {
    const { maxResultBytes } = this.#options;
    const message = `The completion is larger than ${maxResultBytes} bytes; ask for fewer tokens or raise the limit of the router.`;
    return this.end("failed", "result_too_large", message);
  }

  get #name(): string {
    return `Server ${this.#options.server.name}`;
  }

  #redact(text: string): string {
    const { apiKey } = this.#options.server;
    return apiKey === "" ? text : text.replaceAll(apiKey, "***");
  }

  #statistics(): JobStatistics {
    const runMs = performance.now() - this.#startedAt;
    return { runMs, firstOutputMs: this.#firstOutputMs, ...this.completion.usage, peakMemoryMib: 0 };
  }
}

/** Calls the server and follows its answer to the end. Never rejects. Leaving a body before its end closes the connection. */
export async function callServer(options: CallOptions): Promise<JobOutcome> {
  const { server, request, sink, stop, inactivityTimeoutMs } = options;
  const call = new Call(options);
  const silence = setTimeout(() => stop.abort("silent" satisfies StopReason), inactivityTimeoutMs);
  let answered = false;
  try {
    const response = await fetch(server.baseUrl + request.path, {
      method: "POST",
      headers: requestHeaders(server),
      body: request.body,
      redirect: "manual",
      signal: stop.signal,
    });
    silence.refresh();
    if (response.status >= 300 && response.status < 400) {
      await response.body?.cancel();
      return call.refused(response.status, "it redirects, and redirects are not followed; set base_url to where it really is");
    }
    if (response.status !== 200) {
      const text = (await boundedText(response, MAX_ERROR_BODY_BYTES)) ?? "";
      return call.refused(response.status, errorText(text));
    }
    answered = true;
    sink.started();
    const streamed = (response.headers.get("content-type") ?? "").includes("text/event-stream");
    return streamed ? await followStream(response, call, options, silence) : await readWhole(response, call, options);
  } catch (error) {
    return call.broken(error, answered);
  } finally {
    clearTimeout(silence);
  }
}

async function followStream(response: Response, call: Call, options: CallOptions, silence: NodeJS.Timeout): Promise<JobOutcome> {
  const parser = new SseParser(MAX_EVENT_CHARS);
  const { choices } = options.request;
  // The outcome; "done" after [DONE]; null to go on.
  const take = (events: readonly string[] | "too_long"): JobOutcome | "done" | null => {
    if (events === "too_long") {
      return call.end("unavailable", "server_error", `Server ${options.server.name} sent an event longer than ${MAX_EVENT_CHARS} characters.`);
    }
    for (const data of events) {
      if (data.trim() === "[DONE]") return "done";
      const outcome = call.take(data, true);
      if (outcome !== null) return outcome;
    }
    return null;
  };
  try {
    for await (const bytes of response.body ?? []) {
      silence.refresh();
      const outcome = take(parser.push(bytes));
      if (outcome !== null) return outcome === "done" ? call.succeeded() : outcome;
    }
  } catch (error) {
    // Only the figures of usage can be missing.
    if (!options.stop.signal.aborted && call.completion.finished(choices)) return call.succeeded();
    throw error;
  }
  const outcome = take(parser.end());
  if (outcome === "done" || (outcome === null && call.completion.finished(choices))) return call.succeeded();
  return outcome ?? call.broken(new Error("the stream ended without finish_reason and [DONE]"), true);
}

/** For servers that do not stream although they were asked to. The envelope may be larger than the text in it. */
async function readWhole(response: Response, call: Call, options: CallOptions): Promise<JobOutcome> {
  const text = await boundedText(response, options.maxResultBytes * 4 + MAX_EVENT_CHARS);
  if (text === null) {
    return call.end("failed", "result_too_large", `The answer of server ${options.server.name} is larger than the router takes.`);
  }
  const outcome = call.take(text, false);
  if (outcome !== null) return outcome;
  if (!call.completion.finished(1)) {
    return call.end("unavailable", "server_error", `Server ${options.server.name} answered without a finished choice: ${clip(text, 200)}`);
  }
  return call.succeeded();
}

/** Headers of every request to the server. */
export function requestHeaders(server: Server): Record<string, string> {
  return {
    "content-type": "application/json",
    accept: "text/event-stream, application/json",
    ...(server.apiKey === "" ? {} : { authorization: `Bearer ${server.apiKey}` }),
  };
}

/** The body as text; null when it is longer than `maxBytes`. */
export async function boundedText(response: Response, maxBytes: number): Promise<string | null> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const bytes of response.body ?? []) {
    length += bytes.length;
    if (length > maxBytes) return null;
    parts.push(bytes);
  }
  return Buffer.concat(parts).toString("utf8");
}

/** fetch hides the cause: `TypeError: fetch failed`, with the system error inside. */
export function faultOf(error: unknown): { readonly code: string; readonly text: string } {
  const { cause = error } = (error ?? {}) as { cause?: unknown };
  const { code = "", message = "" } = (cause ?? {}) as { code?: unknown; message?: unknown };
  // The error of a host with several addresses has a code and no message.
  return { code: String(code), text: String(message || code || cause) };
}

function errorText(body: string): string {
  try {
    return serverError(JSON.parse(body)).message;
  } catch {
    return body;
  }
}
