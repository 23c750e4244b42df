// The options that describe a request, shared by `route` and `explain --dry-run`, and the RouteRequest they make.
// Checks only what the shell can get wrong; the router judges the content and names the field.
import { readFile, stat } from "node:fs/promises";
import type { Readable } from "node:stream";

import { create, type JsonObject } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Option, type Command } from "commander";

import { OnInterruption, ResourceRequirementsSchema, RouteRequestSchema, WhenLate, type RouteRequest } from "../../gen/gpurouter/v1/router_pb.js";
import { usageFailure } from "./failure.js";
import { duration, moment, wholeNumber } from "./option-parsers.js";

// What the router takes by default is far less; this only bounds what is read into memory, bytes.
const MAX_PAYLOAD_BYTES = 64 * 1024 * 1024;

export interface RequestOptions {
  readonly model?: string;
  readonly type?: string;
  readonly priority?: number;
  readonly user?: string;
  readonly id?: string;
  readonly payload?: string;
  readonly memory?: number;
  readonly computeUnits?: number;
  readonly maxBatchSize?: number;
  readonly expectedDuration?: number;
  readonly minComputeCapability?: string;
  readonly inputTokens?: number;
  readonly outputTokens?: number;
  readonly gpu?: string;
  readonly strategy?: string;
  readonly timeout?: number;
  readonly waitingTimeout?: number;
  readonly startingTimeout?: number;
  readonly answeringTimeout?: number;
  readonly runningTimeout?: number;
  readonly onInterruption?: keyof typeof ON_INTERRUPTION;
  readonly callbackUrl?: string;
  readonly idempotent?: boolean;
  readonly sloFirstOutput?: number;
  readonly sloTotal?: number;
  /** UTC ms. */
  readonly deadline?: number;
  readonly whenLate?: keyof typeof WHEN_LATE;
  readonly session?: string;
  readonly gpus?: number;
  readonly preemptible?: true;
  readonly checkpoint?: true;
}

const WHEN_LATE = { demote: WhenLate.DEMOTE, fail: WhenLate.FAIL } as const;
const ON_INTERRUPTION = { restart: OnInterruption.RESTART, fail: OnInterruption.FAIL } as const;

/** Adds the options; --model is required only where `modelRequired`. */
export function addRequestOptions(command: Command, modelRequired: boolean): Command {
  const model = "model, or command the node's operator allowed, that shall do the work";
  if (modelRequired) command.requiredOption("-m, --model <name>", model);
  else command.option("-m, --model <name>", model);
  const mib = wholeNumber(1, 16_777_216);
  return command
    .option("-t, --type <type>", "kind of work: inference, training, fine-tuning, … (default: inference)")
    .option("-p, --priority <1-5>", "5 is the most urgent (default: 3)", wholeNumber(1, 5))
    .option("-u, --user <name>", "who the work is for (default: anonymous)")
    .option("--id <id>", "request id; sending the same one again never runs the work twice (default: the router makes one)")
    .option("--payload <json|@file|->", "what the runner gets: a JSON value, a file's bytes, or stdin")
    .option("--memory <mib>", "GPU memory the request takes beside the model, MiB", mib)
    .option("--compute-units <n>", "streaming multiprocessors the GPU must have", wholeNumber(1, 65_536))
    .option("--max-batch-size <n>", "largest batch the work may be given; told to the agent, used by no runner of this project", wholeNumber(1, 1_048_576))
    .option("--expected-duration <time>", "expected time on the GPU, such as 500ms, 30s, 2h", duration)
    .option("--min-compute-capability <x.y>", "lowest CUDA compute capability, such as 8.0")
    .option("--input-tokens <n>", "tokens in, for language models", mib)
    .option("--output-tokens <n>", "tokens expected out, for language models", mib)
    .option("--gpu <id>", "only this GPU may run it")
    .option("--strategy <name>", "scheduling strategy for this request")
    .option("--timeout <time>", "from acceptance to the end, such as 30s, 5m", duration)
    .option("--waiting-timeout <time>", "longest time in line for a GPU; it fails then (default: as the router is configured, here and below; 0s: none)", duration)
    .option("--starting-timeout <time>", "longest time from its dispatch until the work begins; it is tried elsewhere then", duration)
    .option("--answering-timeout <time>", "longest time from there to its first output or progress; it is tried elsewhere then", duration)
    .option("--running-timeout <time>", "longest time from the work's beginning to its end; it is stopped and fails then", duration)
    .addOption(
      new Option("--on-interruption <what>", "when its GPU or node is lost after it has given output: begin anew elsewhere, or fail and let the output stand (default: restart)").choices(Object.keys(ON_INTERRUPTION)),
    )
    .option("--callback-url <url>", "http(s) address told of the end")
    .option("--idempotent", "running it twice is harmless")
    .option("--no-idempotent", "it must not run twice")
    .option("--slo-first-output <time>", "how soon output shall begin, such as 500ms; missing it ends nothing", duration)
    .option("--slo-total <time>", "how soon it shall be done; missing it ends nothing", duration)
    .option("--deadline <when>", "when the result is wanted: 2030-01-31T12:00:00Z, or from now, such as 10m (with --id give a time: a repeat must say the same)", moment(Date.now))
    .addOption(new Option("--when-late <what>", "once it cannot be in time: serve it after the others, or fail it at once (default: demote)").choices(Object.keys(WHEN_LATE)))
    .option("--session <key>", "turns of one conversation with one model: the next goes where the last one ran, while that pays")
    .option("--gpus <n>", "GPUs of one node that it runs on at the same time (default: 1)", wholeNumber(1, 64))
    .option("--preemptible", "it may be stopped for more urgent work and begun again")
    .option("--checkpoint", "it saves what it has done: another attempt goes on from there");
}

/** The message that the options describe. Throws bad usage for a payload that cannot be read or is not JSON. */
export async function routeRequestFrom(options: RequestOptions, stdin: Readable): Promise<RouteRequest> {
  return create(RouteRequestSchema, {
    requestId: options.id ?? "",
    userId: options.user ?? "",
    modelId: options.model ?? "",
    priority: options.priority ?? 0,
    type: options.type ?? "",
    resourceRequirements: create(ResourceRequirementsSchema, {
      memoryMib: options.memory ?? 0,
      computeUnits: options.computeUnits ?? 0,
      maxBatchSize: options.maxBatchSize ?? 0,
      expectedDurationMs: BigInt(options.expectedDuration ?? 0),
      minComputeCapability: options.minComputeCapability ?? "",
      inputTokens: options.inputTokens ?? 0,
      outputTokens: options.outputTokens ?? 0,
    }),
    timeoutMs: BigInt(options.timeout ?? 0),
    callbackUrl: options.callbackUrl ?? "",
    payload: await payloadFrom(options.payload, stdin),
    strategy: options.strategy ?? "",
    specificGpuId: options.gpu ?? "",
    ...(options.idempotent === undefined ? {} : { idempotent: options.idempotent }),
    ...wishesFrom(options),
    ...handlingFrom(options),
  });
}

/** What was not said is left to the router; 0 is said: no bound. */
function handlingFrom({ waitingTimeout, startingTimeout, answeringTimeout, runningTimeout, onInterruption }: RequestOptions) {
  const timeouts = {
    ...(waitingTimeout !== undefined && { waitingMs: BigInt(waitingTimeout) }),
    ...(startingTimeout !== undefined && { startingMs: BigInt(startingTimeout) }),
    ...(answeringTimeout !== undefined && { answeringMs: BigInt(answeringTimeout) }),
    ...(runningTimeout !== undefined && { runningMs: BigInt(runningTimeout) }),
  };
  return {
    ...(Object.keys(timeouts).length > 0 && { timeouts }),
    ...(onInterruption !== undefined && { onInterruption: ON_INTERRUPTION[onInterruption] }),
  };
}

function wishesFrom({ sloFirstOutput = 0, sloTotal = 0, deadline, whenLate, session, gpus, preemptible, checkpoint }: RequestOptions) {
  return {
    ...(sloFirstOutput + sloTotal > 0 && { slo: { firstOutputMs: BigInt(sloFirstOutput), totalMs: BigInt(sloTotal) } }),
    ...(deadline !== undefined && { deadline: timestampFromMs(deadline) }),
    ...(whenLate !== undefined && { whenLate: WHEN_LATE[whenLate] }),
    sessionKey: session ?? "",
    gpus: gpus ?? 0,
    ...(preemptible === true && { preemptible }),
    checkpoint: checkpoint ?? false,
  };
}

/** An inline JSON object travels as such; other JSON, files and stdin travel as the bytes they are. */
async function payloadFrom(text: string | undefined, stdin: Readable): Promise<RouteRequest["payload"]> {
  if (text === undefined) return { case: undefined };
  if (text === "-") return { case: "payloadBytes", value: await bytesOf("--payload", text, stdin) };
  if (text.startsWith("@")) return { case: "payloadBytes", value: await bytesOf("--payload", text.slice(1), stdin) };
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw usageFailure(`--payload is not JSON (${error instanceof Error ? error.message : String(error)}): quote it for the shell, or use @FILE or - for bytes`);
  }
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? { case: "payloadJson", value: value as JsonObject }
    : { case: "payloadBytes", value: Buffer.from(text) };
}

/** What a file holds, or stdin for "-". Throws bad usage, which names the option, for what cannot be read or is too long. */
export async function bytesOf(option: string, path: string, stdin: Readable): Promise<Uint8Array> {
  if (path === "-") return await readBounded(option, stdin);
  try {
    const { size } = await stat(path);
    if (size > MAX_PAYLOAD_BYTES) throw new Error(`it has ${size} bytes, more than ${MAX_PAYLOAD_BYTES}; pass a reference to the data instead`);
    return await readFile(path);
  } catch (error) {
    throw usageFailure(`${option} ${option === "--payload" ? "@" : ""}${path} cannot be read: ${error instanceof Error ? error.message : String(error)}`);
  }
}

async function readBounded(option: string, stdin: Readable): Promise<Uint8Array> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of stdin) {
    const bytes = Buffer.from(chunk as Uint8Array | string);
    size += bytes.length;
    if (size > MAX_PAYLOAD_BYTES) throw usageFailure(`${option} -: stdin has more than ${MAX_PAYLOAD_BYTES} bytes; pass a reference to the data instead`);
    chunks.push(bytes);
  }
  return Buffer.concat(chunks);
}
