// `gpu-router route`: sends one request and says where it stands, or follows it to its end.
import type { Command } from "commander";

import { RouteResponseSchema, RouteStatus, type RouteResponse } from "../../gen/gpurouter/v1/router_pb.js";
import { ExitCode } from "./failure.js";
import { jsonDocument } from "./json-output.js";
import { countText, printable, timeText } from "./quantity-text.js";
import { addRequestOptions, routeRequestFrom, type RequestOptions } from "./request-options.js";
import { CALL_DEADLINE_MS, routerCommand, withRouter, type CommandContext, type RouterOptions } from "./router-command.js";
import { onText } from "./request-text.js";
import { showWatch } from "./show-watch.js";
import type { Style } from "./style.js";
import { write } from "./terminal.js";

interface RouteOptions extends RouterOptions, RequestOptions {
  readonly wait?: true;
  readonly follow?: true;
}

/** Adds the command. */
export function registerRoute(program: Command, context: CommandContext): void {
  addRequestOptions(routerCommand(program, "route", "Send one request to the fleet"), true)
    .option("-w, --wait", "follow it to its end: output on stdout, exit code 0 completed, 1 failed, 3 cancelled; Ctrl-C detaches")
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
  $ gpu-router route --model llama-2-70b --id order-4711 --json | jq -r .assigned_gpu`,
    )
    .action(async (options: RouteOptions) => {
      const request = await routeRequestFrom(options, context.terminal.stdin);
      await withRouter(context, options, async (session) => {
        const follow = options.wait === true || options.follow === true;
        const response = await session.client.route(request, { deadlineMs: CALL_DEADLINE_MS });
        if (follow) return await showWatch(session, response.requestId, true);
        await write(session.terminal.stdout, session.json ? jsonDocument(RouteResponseSchema, response) : routeText(response, session.style));
        return ExitCode.ok;
      });
    });
}

function routeText(response: RouteResponse, style: Style): string {
  const id = printable(response.requestId);
  const standing =
    response.status === RouteStatus.QUEUED
      ? `queued, ${countText(response.queuePosition)} ahead`
      : `accepted${onText(response)}`;
  const lines = [`${style.bold(id)} ${standing}`];
  if (response.estimatedCompletionTime !== undefined) lines.push(`  expected to end ${timeText(response.estimatedCompletionTime)}`);
  if (response.message !== "") lines.push(`  ${printable(response.message)}`);
  lines.push(style.dim(`  follow it: gpu-router watch ${id}`));
  return `${lines.join("\n")}\n`;
}
