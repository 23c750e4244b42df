// `gpu-router status`: everything the router knows of one request.
import type { Command } from "commander";

import { StatusResponseSchema } from "../../gen/gpurouter/v1/router_pb.js";
import { requestDetails } from "./request-text.js";
import { CALL_DEADLINE_MS, routerCommand, withRouter, type CommandContext, type RouterOptions } from "./router-command.js";

/** Adds the command. */
export function registerStatus(program: Command, context: CommandContext): void {
  routerCommand(program, "status <id>", "Show one request")
    .addHelpText(
      "after",
      `
Examples:
  $ gpu-router status order-4711
  $ gpu-router status order-4711 --json | jq -r .request.state
  $ gpu-router status order-4711 --json | jq -r .request.result | base64 -d`,
    )
    .action(async (requestId: string, options: RouterOptions) => {
      await withRouter(context, options, async ({ client, style, print }) => {
        const response = await client.status({ requestId }, { deadlineMs: CALL_DEADLINE_MS });
        const text = response.request === undefined ? "" : requestDetails(response.request, style);
        return await print(StatusResponseSchema, response, () => text);
      });
    });
}
