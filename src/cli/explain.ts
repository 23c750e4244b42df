// `gpu-router explain`: why a request went where it went, or where it would go now.
import type { Command } from "commander";

import { ExplainResponseSchema } from "../../gen/gpurouter/v1/router_pb.js";
import { decisionText } from "./decision-text.js";
import { usageFailure } from "./failure.js";
import { addRequestOptions, routeRequestFrom, type RequestOptions } from "./request-options.js";
import { CALL_DEADLINE_MS, routerCommand, withRouter, type CommandContext, type RouterOptions } from "./router-command.js";

interface ExplainOptions extends RouterOptions, RequestOptions {
  readonly dryRun?: true;
  readonly recording?: string;
}

/** Adds the command. */
export function registerExplain(program: Command, context: CommandContext): void {
  addRequestOptions(routerCommand(program, "explain [id]", "Show why a request went where it went, or where one would go now"), false)
    .option("--dry-run", "decide for the request that the options describe; nothing is placed")
    .option("--recording <file>", "ask a recording instead of a router, and decide again from it")
    .addHelpText(
      "after",
      `
FILTER is what ruled GPUs out. The CANDIDATES are the best of the rest, the chosen one first, with a column for each term of the strategy's
score; the highest score wins. Of hybrid: OWN_SECONDS is from now to its end there, RISK_SECONDS the promised time as far as the promise may
break, DELAY_SECONDS what others lose by it, AFFINITY_SECONDS what is gained by prompts read there before; HEALTH and UNWELL prefer GPUs that
are well. TELEMETRY is the age of what was known of the GPU.

Examples:
  $ gpu-router explain order-4711
  $ gpu-router explain --recording friday.rec order-4711
  $ gpu-router explain --dry-run --model llama-2-70b --memory 60000 --priority 5
  $ gpu-router explain --dry-run --model llama-2-70b --input-tokens 4000 --slo-first-output 500ms --when-late fail`,
    )
    .action(async (id: string | undefined, options: ExplainOptions) => {
      if (id === undefined && options.model === undefined) throw usageFailure("explain needs a request: give its ID, or --dry-run with at least --model");
      if (id !== undefined && (options.model !== undefined || options.dryRun === true)) throw usageFailure("explain takes an ID or a dry run, not both");
      if (options.recording !== undefined) {
        if (id === undefined) throw usageFailure("explain --recording takes the ID of a request: nothing can be placed in a recording");
        const { explainRecorded } = await import("./whatif/explain-recorded.js");
        context.exitCode = await explainRecorded(context, options.recording, id, options.json === true);
        return;
      }
      const target =
        id === undefined
          ? ({ case: "dryRun", value: await routeRequestFrom(options, context.terminal.stdin) } as const)
          : ({ case: "requestId", value: id } as const);
      await withRouter(context, options, async ({ client, style, print }) => {
        const response = await client.explain({ target }, { deadlineMs: CALL_DEADLINE_MS });
        return await print(ExplainResponseSchema, response, () => decisionText(response, style));
      });
    });
}
