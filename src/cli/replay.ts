// `gpu-router replay`: sends real traces through a running router and reports what became of every request.
// The parts are in replay/; this file turns options into a plan, runs it, and shows the report.
import { randomBytes } from "node:crypto";
import { open, writeFile } from "node:fs/promises";
import path from "node:path";

import { Option, type Command } from "commander";

import { hash32, seededRandom } from "../lib/random.js";
import { GPU_KIND_NAMES, type GpuKind } from "../simulated-gpu/gpu-kinds.js";
import { systemClock } from "./clock.js";
import { CliFailure, ExitCode } from "./failure.js";
import { decimalNumber, duration, priorityList, wholeNumber } from "./option-parsers.js";
import { openTraces } from "./replay/open-traces.js";
import { writeOutcomes } from "./replay/outcome-lines.js";
import { showProgress } from "./replay/progress-bar.js";
import { ReplaySlos } from "./replay/replay-slos.js";
import { buildReport, isSound, type ReplayPlan, type ReplayReport } from "./replay/report.js";
import { reportHtml } from "./replay/report-html.js";
import { reportJson } from "./replay/report-json.js";
import { reportText } from "./replay/report-text.js";
import { newCounters, runReplay } from "./replay/run.js";
import { measureSchedule, schedule, type ScheduleOptions, type TraceSource } from "./replay/schedule.js";
import { verifyEnds } from "./replay/verify.js";
import { CALL_DEADLINE_MS, routerCommand, withRouter, type CommandContext, type RouterOptions, type RouterSession } from "./router-command.js";
import { write } from "./terminal.js";

// Outcomes of a replay stay in memory, about 300 bytes each.
const MAX_REQUESTS = 1_000_000;

interface ReplayOptions extends RouterOptions {
  readonly speed: number;
  readonly limit: number;
  readonly from: number;
  readonly duration?: number;
  readonly seed: number;
  readonly model: string;
  readonly user?: string;
  readonly users: number;
  readonly priority?: readonly number[];
  readonly sloFirstOutput?: number;
  readonly sloTotal?: number;
  readonly sloFactor?: number;
  readonly sloGpu: GpuKind;
  readonly timeout?: number;
  readonly payloadBytes: number;
  readonly hideLengths?: true;
  readonly concurrency: number;
  readonly giveUp: number;
  readonly verify?: true;
  readonly html?: string;
  readonly outcomes?: string;
}

/** Adds the command. */
export function registerReplay(program: Command, context: CommandContext): void {
  routerCommand(program, "replay <traces...>", "Send real traces through the router and report on every request")
    .option("-x, --speed <n>", "20 plays an hour in three minutes", decimalNumber(0, 1_000_000), 1)
    .option("-n, --limit <n>", "requests at most, over all traces", wholeNumber(1, MAX_REQUESTS), MAX_REQUESTS)
    .addOption(new Option("--from <time>", "how far into the traces to begin, on their own clock").argParser(duration).default(0, "their start"))
    .option("-d, --duration <time>", "how much of the traces, on their own clock: 20m", duration)
    .option("--seed <n>", "for everything drawn by lot: spreading of coarse times, jitter", wholeNumber(0, 4_294_967_295), 1)
    .option("-m, --model <name>", "model that all requests ask for", "llama-2-70b")
    .option("-u, --user <name>", "user of all requests (default: each trace is a user named after its file)")
    .option("--users <n>", "users of each trace, NAME-1 to NAME-n; each request is of one of them by lot", wholeNumber(1, 1000), 1)
    .option("-p, --priority <1-5,…>", "5 is the most urgent; several are dealt out to the users of all traces in turn", priorityList)
    .option("--slo-first-output <time>", "wish for the first output of each request, counted from when it is due", duration)
    .option("--slo-total <time>", "wish for the end of each request", duration)
    .option("--slo-factor <n>", "or this many times what the request takes alone on an idle GPU, if that is longer", decimalNumber(0, 10_000))
    .addOption(new Option("--slo-gpu <kind>", "the kind of that GPU").choices(GPU_KIND_NAMES).default("A100-80GB"))
    .option("--timeout <time>", "time-out of each request, from acceptance to end", duration)
    .option("--payload-bytes <n>", "size of each payload, a completion request in JSON; 0 sends none", wholeNumber(0, 1_048_576), 0)
    .option("--hide-lengths", "do not tell the router how long answers will be; the payload alone says it, as max_tokens")
    .option("--concurrency <n>", "requests in flight at most; the report says when it held any back", wholeNumber(1, 1_000_000), 20_000)
    .addOption(new Option("--give-up <time>", "how long each request looks for a router that is away").argParser(duration).default(120_000, "2m"))
    .option("--verify", "ask again for every request at the end: its end must still be the same")
    .option("--html <file>", "write the report as a page with plots, one file that needs no network")
    .option("--outcomes <file>", "write what became of each request, one line of JSON each")
    .addHelpText(
      "after",
      `
Reads Azure LLM inference CSV (TIMESTAMP,ContextTokens,GeneratedTokens) and Mooncake JSONL (timestamp, input_length,
output_length, hash_ids), both also gzipped. Block hashes go along, for routers that send a prompt where it was read before. Several traces are merged; those with dates stay aligned when they start within an hour
of each other. Mooncake's times sit on a 3 s grid: each is spread uniformly over its 3 s.

Sending is open loop: it keeps to the trace and never waits for an answer, and every latency counts from the time the trace
wanted the request sent. The lengths of answers are told with each request, and simulated GPUs answer at that length; with
--hide-lengths the router does not know them, and the wish for the end is for an answer of its user's usual length. While the router is away requests are sent again under the same id, so none runs twice.
Ctrl-C stops the sending and waits for what is in flight; a second one gives up on that.

Exit code: 0 when every request met exactly one end, 1 when any was lost, doubled, unfinished or unanswered, 130 stopped by Ctrl-C.

Examples:
  $ gpu-router replay AzureLLMInferenceTrace_conv.csv --speed 20 --duration 20m --html report.html
  $ gpu-router replay conv.csv code.csv --speed 50 --limit 5000 --verify
  $ gpu-router replay conversation_trace.jsonl.gz --speed 10 --json | jq .latencies
  $ gpu-router replay conv.csv code.csv --slo-first-output 2s --slo-total 2s --slo-factor 2.5 --json | jq .attainment`,
    )
    .action(async (traces: readonly string[], options: ReplayOptions) => {
      const sources = await openTraces(traces, options);
      await withRouter(context, options, (session) => replay(session, sources, options));
    });
}

async function replay(session: RouterSession, sources: readonly TraceSource[], options: ReplayOptions): Promise<number> {
  const { client, terminal, address } = session;
  const timing: ScheduleOptions = { speed: options.speed, limit: options.limit, fromMs: options.from, durationMs: options.duration ?? Number.POSITIVE_INFINITY, seed: options.seed };
  const { count, lastDueMs } = await measureSchedule(schedule(sources, timing));
  if (count === 0) throw new CliFailure("the traces hold no requests in this range: raise --duration or --limit, or give other traces");
  // Better to fail here than after an hour, and on one call than on thousands.
  for (const file of [options.html, options.outcomes]) if (file !== undefined) await openFile(file);
  await client.gpuStatus({}, { deadlineMs: CALL_DEADLINE_MS });

  const plan: ReplayPlan = {
    runId: randomBytes(4).toString("hex"),
    router: address,
    traces: sources.map((source) => ({ file: path.basename(source.path), format: source.format.name, tenant: source.tenant, users: source.priorities.length })),
    model: options.model,
    speed: options.speed,
    seed: options.seed,
    requests: count,
    scheduleMs: lastDueMs,
    maxInFlight: options.concurrency,
  };
  const settings = {
    runId: plan.runId,
    model: options.model,
    slos: slosOf(options),
    timeoutMs: options.timeout ?? 0,
    payloadBytes: options.payloadBytes,
    tellLengths: options.hideLengths !== true,
    giveUpMs: options.giveUp,
    maxInFlight: options.concurrency,
  };
  const interrupt = listenForInterrupts(session);
  const counters = newCounters();
  const startMs = systemClock.now();
  const stopProgress = showProgress(terminal, () => ({ counters, total: count, elapsedMs: systemClock.now() - startMs, scheduleMs: lastDueMs }));
  try {
    const random = seededRandom(hash32(plan.runId, options.seed));
    const run = await runReplay(schedule(sources, timing), client, settings, { clock: systemClock, random, counters, stop: interrupt.stop, quit: interrupt.quit });
    stopProgress();
    const verification = options.verify === true && !interrupt.quit.aborted ? await verifyEnds(client, run.outcomes) : null;
    const report = buildReport(plan, run, interrupt.stop.aborted, verification);
    if (options.outcomes !== undefined) await writeOutcomes(options.outcomes, run.outcomes);
    await show(session, report, options.html);
    if (!isSound(report)) return ExitCode.failed;
    return interrupt.stop.aborted ? ExitCode.interrupted : ExitCode.ok;
  } finally {
    stopProgress();
    interrupt.end();
  }
}

function slosOf({ sloFirstOutput = 0, sloTotal = 0, sloFactor = 0, sloGpu, model, hideLengths }: ReplayOptions): ReplaySlos | null {
  if (sloFirstOutput + sloTotal + sloFactor === 0) return null;
  return new ReplaySlos({ firstOutputMs: sloFirstOutput, totalFloorMs: sloTotal, totalFactor: sloFactor, gpuKind: sloGpu }, model, hideLengths !== true);
}

interface Interrupts {
  readonly stop: AbortSignal;
  readonly quit: AbortSignal;
  end(): void;
}

/** The first Ctrl-C stops the sending, the second one also the waiting. */
function listenForInterrupts({ terminal }: RouterSession): Interrupts {
  const stop = new AbortController();
  const quit = new AbortController();
  const end = terminal.onInterrupt(() => {
    if (stop.signal.aborted) return quit.abort();
    stop.abort();
    terminal.stderr.write("\nStopped sending; waiting for what is in flight. Press Ctrl-C again to stop waiting.\n");
  });
  return { stop: stop.signal, quit: quit.signal, end };
}

async function show(session: RouterSession, report: ReplayReport, htmlFile: string | undefined): Promise<void> {
  const { terminal, json, style } = session;
  await write(terminal.stdout, json ? `${JSON.stringify(reportJson(report), null, 2)}\n` : reportText(report, style));
  if (htmlFile === undefined) return;
  await writeFile(htmlFile, reportHtml(report));
  await write(terminal.stderr, `Report page: ${htmlFile}\n`);
}

/** Makes sure that a file can be written. */
async function openFile(file: string): Promise<void> {
  try {
    await (await open(file, "a")).close();
  } catch (error) {
    throw new CliFailure(`cannot write ${file}: ${error instanceof Error ? error.message : String(error)}`);
  }
}
