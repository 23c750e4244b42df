// `gpu-router whoami`: who the router takes one for.
import type { Command } from "commander";

import { WhoAmIResponseSchema, type WhoAmIResponse } from "../../gen/gpurouter/v1/identity_pb.js";
import { withIdentity } from "./identity-command.js";
import { rolesText } from "./identity-text.js";
import { printable } from "./quantity-text.js";
import { CALL_DEADLINE_MS, routerCommand, type CommandContext, type RouterOptions } from "./router-command.js";

/** Adds the command. */
export function registerWhoami(program: Command, context: CommandContext): void {
  routerCommand(program, "whoami", "Show who the router takes you for")
    .addHelpText(
      "after",
      `
Examples:
  $ gpu-router whoami
  $ gpu-router whoami --json | jq -r .user_id`,
    )
    .action(async (options: RouterOptions) => {
      await withIdentity(context, options, async ({ client, style, print }) => {
        const me = await client.whoAmI({}, { deadlineMs: CALL_DEADLINE_MS });
        return await print(WhoAmIResponseSchema, me, () => whoText(me, style.bold));
      });
    });
}

function whoText({ userId, roles, team, nodeIds, via, credential }: WhoAmIResponse, bold: (text: string) => string): string {
  if (via === "local") return "The router knows no users and keys: everybody on its machine may do everything.\n";
  const parts = [rolesText(roles), ...(team === "" ? [] : [`team ${printable(team)}`]), ...(nodeIds.length === 0 ? [] : [`for ${nodeIds.map(printable).join(", ")}`]), `by ${printable(credential)}`];
  return `${bold(printable(userId))}: ${parts.join(", ")}\n`;
}
