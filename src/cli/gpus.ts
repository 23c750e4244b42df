// `gpu-router gpus`: the fleet now, or as it changes.
import { Option, type Command } from "commander";

import type { Gpu } from "../../gen/gpurouter/v1/gpu_pb.js";
import { GpuStatusResponseSchema, WatchGpusResponseSchema, type WatchGpusResponse } from "../../gen/gpurouter/v1/router_pb.js";
import { seededRandom } from "../lib/random.js";
import { backOffMs, systemClock } from "./clock.js";
import { ExitCode, isServiceError, statusName } from "./failure.js";
import { estimateTable } from "./estimate-table.js";
import { gpuTable } from "./gpu-table.js";
import { jsonLine } from "./json-output.js";
import { duration } from "./option-parsers.js";
import { printable } from "./quantity-text.js";
import { CALL_DEADLINE_MS, routerCommand, withRouter, type CommandContext, type RouterOptions, type RouterSession } from "./router-command.js";
import { isRedrawable, widthOf, write } from "./terminal.js";
import { truncateStyled } from "./text-table.js";

interface GpusOptions extends RouterOptions {
  readonly watch?: true;
  readonly estimates?: true;
  readonly interval: number;
}

/** Adds the command. */
export function registerGpus(program: Command, context: CommandContext): void {
  routerCommand(program, "gpus [ids...]", "Show the GPUs of the fleet")
    .option("-w, --watch", "keep showing them as they change; Ctrl-C ends it")
    .addOption(new Option("--estimates", "show how near the router's estimates of time came, by model and type").conflicts("watch"))
    .addOption(new Option("--interval <time>", "shortest time between two updates while watching, at most 60s").argParser(duration).default(500, "500ms"))
    .addHelpText(
      "after",
      `
MEMORY is used/total as the device says, RESERVED what the router has promised to requests, SAMPLE the age of the telemetry.
With --estimates: ERROR is the mean of |expected - actual| / actual time, WITHIN P90 the share that ended within what nine of ten should.
ENGINE, where an inference engine tells of itself, is what it computes and holds back, whoever sent it, and the share of its key-value cache in use.

Examples:
  $ gpu-router gpus
  $ gpu-router gpus --watch
  $ gpu-router gpus --estimates
  $ gpu-router gpus --json | jq -r '.gpus[] | select(.health != "HEALTH_STATUS_HEALTHY").gpu_id'
  $ gpu-router gpus --watch --json | jq -c '.gpus[] | [.gpu_id, .active_requests]'`,
    )
    .action(async (ids: readonly string[], options: GpusOptions) => {
      await withRouter(context, options, async (session) => {
        if (options.watch === true) return await watchFleet(session, new Set(ids), options.interval);
        const response = await session.client.gpuStatus({ gpuIds: [...ids] }, { deadlineMs: CALL_DEADLINE_MS });
        const { gpus, estimates } = response;
        return await session.print(GpuStatusResponseSchema, response, () => (options.estimates === true ? estimateTable(estimates, session.style) : gpuTable(gpus, session.style)));
      });
    });
}

/** Follows the fleet until Ctrl-C, across restarts of the router; fails at once when it cannot be reached at first. */
async function watchFleet(session: RouterSession, wanted: ReadonlySet<string>, intervalMs: number): Promise<number> {
  const stop = new AbortController();
  const stopListening = session.terminal.onInterrupt(() => stop.abort());
  const random = seededRandom(process.pid);
  const show = session.json ? showLines(session) : showTable(session);
  let resumeToken = "";
  let failures = 0;
  let away = false;
  try {
    while (!stop.signal.aborted) {
      try {
        const stream = session.client.watchGpus({ resumeToken, minIntervalMs: Math.min(60_000, Math.max(1, intervalMs)) }, { signal: stop.signal });
        for await (const message of stream) {
          ({ resumeToken } = message);
          failures = 0;
          if (away) await show(null, "connected again");
          away = false;
          if (wanted.size > 0) {
            message.gpus = message.gpus.filter((gpu) => wanted.has(gpu.gpuId));
            message.removedGpuIds = message.removedGpuIds.filter((gpuId) => wanted.has(gpuId));
          }
          await show(message, "");
        }
      } catch (error) {
        if (stop.signal.aborted) break;
        if (resumeToken === "" || !isServiceError(error)) throw error;
        // Once for each time that it is away, however often it is tried.
        if (!away) await show(null, `${statusName(error.code)}: connection to ${session.address} lost, trying again`);
        away = true;
      }
      failures += 1;
      await systemClock.sleep(backOffMs(failures, random), stop.signal);
    }
  } finally {
    stopListening();
  }
  return ExitCode.ok;
}

/** Shows a message, or with null only a notice about the connection. */
type Show = (message: WatchGpusResponse | null, notice: string) => Promise<void>;

function showLines({ terminal }: RouterSession): Show {
  return (message, notice) => (message === null ? write(terminal.stderr, `${notice}\n`) : write(terminal.stdout, jsonLine(WatchGpusResponseSchema, message)));
}

/** Redraws one table on a terminal; into a pipe goes the whole table first, then the rows that changed. */
function showTable({ terminal, style }: RouterSession): Show {
  const { stdout, stderr } = terminal;
  const fleet = new Map<string, Gpu>();
  const redraw = isRedrawable(stdout, terminal.env);
  let drawnLines = 0;
  return async (message, notice) => {
    if (message?.snapshot === true) fleet.clear();
    for (const gpu of message?.gpus ?? []) fleet.set(gpu.gpuId, gpu);
    for (const gpuId of message?.removedGpuIds ?? []) fleet.delete(gpuId);
    if (!redraw) {
      if (message === null) return await write(stderr, `${notice}\n`);
      if (message.gpus.length > 0) await write(stdout, gpuTable(message.snapshot ? fleet.values() : message.gpus, style));
      for (const gpuId of message.removedGpuIds) await write(stdout, `${printable(gpuId)} is no longer part of the fleet\n`);
      return;
    }
    // More lines than the window has cannot be drawn over, longer ones would wrap.
    const lines = gpuTable(fleet.values(), style).split("\n").slice(0, -1);
    const room = Math.max(3, (stdout.rows ?? 24) - 2);
    const shown = lines.length <= room ? lines : [...lines.slice(0, room - 1), style.dim(`… ${lines.length - room} more lines; see all with gpu-router gpus`)];
    if (notice !== "") shown.push(style.yellow(notice));
    const width = widthOf(stdout);
    const frame = shown.map((line) => `${truncateStyled(line, width)}\u001B[K\n`).join("");
    await write(stdout, `${drawnLines > 0 ? `\u001B[${drawnLines}A` : ""}${frame}\u001B[J`);
    drawnLines = shown.length;
  };
}
