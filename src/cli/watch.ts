// `gpu-router watch`: follows one request to its end.
import type { Command } from "commander";

import { routerCommand, withRouter, type CommandContext, type RouterOptions } from "./router-command.js";
import { showWatch } from "./show-watch.js";

/** Adds the command. */
export function registerWatch(program: Command, context: CommandContext): void {
  routerCommand(program, "watch <id>", "Follow one request to its end: output on stdout, what happens to it on stderr")
    .addHelpText(
      "after",
      `
Exit code: 0 completed, 1 failed, 3 cancelled, 130 detached by Ctrl-C (the work goes on).

Examples:
  $ gpu-router watch order-4711
  $ gpu-router watch order-4711 > answer.txt
  $ gpu-router watch order-4711 --json | jq -c 'select(.request).request.state'`,
    )
    .action(async (requestId: string, options: RouterOptions) => {
      await withRouter(context, options, (session) => showWatch(session, requestId, false));
    });
}
