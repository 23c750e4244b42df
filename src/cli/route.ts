// `gpu-router route`: sends one request and says where it stands, or follows it to its end.
import type { Command } from "commander";

import { BatchRouteResponseSchema, RouteResponseSchema, RouteStatus, type RouteResponse } from "../../gen/gpurouter/v1/router_pb.js";
import { batchFrom, batchText } from "./batch-requests.js";
import { ExitCode, usageFailure } from "./failure.js";
import { followBatch } from "./follow-batch.js";
import { wholeNumber } from "./option-parsers.js";
import { countText, durationText, printable, timeMs, timeText } from "./quantity-text.js";
import { closestWord } from "../lib/closest-word.js";
import { addRequestOptions, routeRequestFrom, type RequestOptions } from "./request-options.js";
import { CALL_DEADLINE_MS, nextCommand, routerCommand, withRouter, type CommandContext, type RouterOptions, type RouterSession } from "./router-command.js";
import { onText } from "./request-text.js";
import { showWatch } from "./show-watch.js";

interface RouteOptions extends RouterOptions, RequestOptions {
  readonly batch?: string;
  readonly batchSplit?: boolean;
  readonly minBatchSizePerGpu?: number;
  readonly wait?: true;
  readonly follow?: true;
}

/** Adds the command. */
export function registerRoute(program: Command, context: CommandContext): void {
  addRequestOptions(routerCommand(program, "route", "Send one request to the fleet"), true)
    .option("--batch <file|->", "many at once: each line of the file is the payload of one, JSON; the other options hold for all, and --id is numbered")
    .option("--batch-split", "the requests of --batch may go to several GPUs (default: as the router is configured)")
    .option("--no-batch-split", "the requests of --batch go to one GPU")
    .option("--min-batch-size-per-gpu <n>", "fewest requests of --batch on each GPU (default: as the router is configured)", wholeNumber(1, 1_000))
    .option("-w, --wait", "follow it to its end: output on stdout (of --batch a line of JSON for each as it ends), exit code 0 completed, 1 failed, 3 cancelled; Ctrl-C detaches")
    .option("-f, --follow", "the same as --wait")
    .addHelpText(
      "after",
      `
Examples:
  $ gpu-router route --model llama-2-70b --payload '{"prompt":"Why is the sky blue?"}' --wait
  $ gpu-router route --model resnet-train --type training --priority 2 --memory 24000 --payload @job.json
  $ cat audio.wav | gpu-router route --model whisper --payload - --timeout 2m --wait > transcript.json
  $ gpu-router route --model llama-2-70b --payload @turn-7.json --session chat-42 --slo-first-output 500ms --slo-total 20s
  $ gpu-router route --model resnet-train --type training --payload @job.json --gpus 4 --deadline 8h --preemptible --checkpoint
  $ gpu-router route --model llama-2-70b --payload @turn-7.json --waiting-timeout 10s --answering-timeout 5s --on-interruption fail --wait
  $ gpu-router route --model llama-2-70b --batch prompts.jsonl --id night-1 --priority 1 --timeout 8h --wait > results.jsonl
  $ gpu-router route --model llama-2-70b --id order-4711 --json | jq -r .assigned_gpu`,
    )
    .action(async (options: RouteOptions) => {
      const follow = options.wait === true || options.follow === true;
      if (options.batch !== undefined) {
        const batch = await batchFrom({ ...options, batch: options.batch }, context.terminal.stdin);
        await withRouter(context, options, async (session) => {
          const { client, print, style } = session;
          const response = await client.batchRoute(batch.call, { deadlineMs: CALL_DEADLINE_MS });
          if (follow) return await followBatch(session, response.responses.map((each, index) => ({ line: batch.lines[index] ?? 0, response: each })));
          await print(BatchRouteResponseSchema, response, () => batchText(response.responses, style));
          return response.responses.some(({ status }) => status === RouteStatus.REJECTED) ? ExitCode.failed : ExitCode.ok;
        });
        return;
      }
      if (options.batchSplit !== undefined || options.minBatchSizePerGpu !== undefined) throw usageFailure("--batch-split and --min-batch-size-per-gpu need --batch: one request is not spread");
      const request = await routeRequestFrom(options, context.terminal.stdin);
      await withRouter(context, options, async (session) => {
        const response = await session.client.route(request, { deadlineMs: CALL_DEADLINE_MS });
        if (follow) return await showWatch(session, response.requestId, true);
        const strange = session.json ? "" : await strangeModelText(request.modelId, response, session);
        return await session.print(RouteResponseSchema, response, () => routeText(response, session) + strange);
      });
    });
}

function routeText(response: RouteResponse, session: RouterSession): string {
  const { style } = session;
  const id = printable(response.requestId);
  const queued = response.status === RouteStatus.QUEUED;
  const standing =
    queued
      ? `queued, ${countText(response.queuePosition)} ahead`
      : `accepted${onText(response)}`;
  const lines = [`${style.bold(id)} ${standing}`];
  if (response.estimatedCompletionTime !== undefined) lines.push(`  expected to end ${timeText(response.estimatedCompletionTime)}${fromNow(response.estimatedCompletionTime)}`);
  if (response.message !== "") lines.push(`  ${printable(response.message)}`);
  if (queued) lines.push(style.dim(`  see why it waits: ${nextCommand(`explain ${id}`, session)}`));
  lines.push(style.dim(`  follow it: ${nextCommand(`watch ${id}`, session)}`));
  return `${lines.join("\n")}\n`;
}

/** " (in 1.0 s)"; "" for what is over, or was by this machine's clock. */
function fromNow(time: RouteResponse["estimatedCompletionTime"]): string {
  const leftMs = (timeMs(time) ?? 0) - Date.now();
  return leftMs > 0 ? ` (in ${durationText(leftMs)})` : "";
}

/** Of a request that nobody can take: whether it asks for a model that nobody serves, and which one may have been meant; else "". */
async function strangeModelText(model: string, { status, estimatedStartTime }: RouteResponse, { client, style }: RouterSession): Promise<string> {
  if (status !== RouteStatus.QUEUED || estimatedStartTime !== undefined) return "";
  const { gpus } = await client.gpuStatus({}, { deadlineMs: CALL_DEADLINE_MS });
  const served = Array.from(new Set(gpus.flatMap(({ models }) => models)));
  if (served.length === 0 || served.includes(model) || served.includes("*")) return "";
  const meant = closestWord(model, served);
  return style.yellow(`  no GPU serves ${printable(model)} now${meant === null ? "; see MODELS of gpu-router gpus" : `; did you mean ${printable(meant)}?`}\n`);
}
