// `gpu-router cancel`: asks for the end of one request.
import type { Command } from "commander";

import { CancelRequestResponseSchema } from "../../gen/gpurouter/v1/admin_pb.js";
import { CancelResponseSchema, type CancelResponse } from "../../gen/gpurouter/v1/router_pb.js";
import { printable } from "./quantity-text.js";
import { standingText } from "./request-text.js";
import { CALL_DEADLINE_MS, nextCommand, routerCommand, withRouter, type CommandContext, type RouterOptions, type RouterSession } from "./router-command.js";
import { isFinal } from "./watch-to-end.js";

interface CancelOptions extends RouterOptions {
  readonly reason?: string;
  readonly admin?: true;
}

/** Adds the command. */
export function registerCancel(program: Command, context: CommandContext): void {
  routerCommand(program, "cancel <id>", "Ask for the end of one request")
    .option("--reason <words>", "kept with the request")
    .option("--admin", "as an operator: anybody's request; its owner reads the reason")
    .addHelpText(
      "after",
      `
A running request ends when its GPU has stopped it; it may have ended otherwise before that. Cancelling twice is harmless.

Examples:
  $ gpu-router cancel order-4711
  $ gpu-router cancel order-4711 --reason "customer left"
  $ gpu-router cancel order-4711 --admin --reason "its job floods the cluster"`,
    )
    .action(async (requestId: string, options: CancelOptions) => {
      await withRouter(context, options, async (session) => {
        const { client, print } = session;
        if (options.admin === true) {
          const answer = await client.admin.cancelRequest({ requestId, reason: options.reason ?? "" }, { deadlineMs: CALL_DEADLINE_MS });
          return await print(CancelRequestResponseSchema, answer, () => cancelText(answer, session));
        }
        const response = await client.cancel({ requestId, reason: options.reason ?? "" }, { deadlineMs: CALL_DEADLINE_MS });
        return await print(CancelResponseSchema, response, () => cancelText(response, session));
      });
    });
}

function cancelText({ request }: Pick<CancelResponse, "request">, session: RouterSession): string {
  if (request === undefined) return "";
  const { style } = session;
  const id = printable(request.requestId);
  const standing = standingText(request, style);
  if (isFinal(request.state)) return `${style.bold(id)} ${standing}\n`;
  return `${style.bold(id)} asked to end; now ${standing}\n${style.dim(`  see it end: ${nextCommand(`watch ${id}`, session)}`)}\n`;
}
