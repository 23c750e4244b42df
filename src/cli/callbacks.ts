// `gpu-router callbacks`: those that were given up, and another go for them.
import type { Command } from "commander";

import { ListFailedCallbacksResponseSchema, RetryCallbackResponseSchema, type ListFailedCallbacksResponse } from "../../gen/gpurouter/v1/admin_pb.js";
import { usageFailure } from "./failure.js";
import { wholeNumber } from "./option-parsers.js";
import { countText, printable, timeText } from "./quantity-text.js";
import { CALL_DEADLINE_MS, routerCommand, withRouter, type CommandContext, type RouterOptions } from "./router-command.js";
import type { Style } from "./style.js";
import { textTable } from "./text-table.js";

interface FailedOptions extends RouterOptions {
  readonly limit: number;
  readonly pageToken?: string;
}

interface RetryOptions extends RouterOptions {
  readonly all?: true;
}

/** Adds the command and its two parts. */
export function registerCallbacks(program: Command, context: CommandContext): void {
  const group = program.command("callbacks").description("See callbacks that were given up, and try them again");
  routerCommand(group, "failed", "Show callbacks that were given up, newest first")
    .option("-n, --limit <n>", "how many at most", wholeNumber(1, 1000), 50)
    .option("--page-token <token>", "go on where the last page ended")
    .addHelpText("after", "\nExamples:\n  $ gpu-router callbacks failed\n  $ gpu-router callbacks failed --json | jq -r '.callbacks[] | [.callback_id, .error] | @tsv'")
    .action(async (options: FailedOptions) => {
      await withRouter(context, options, async ({ client, style, print }) => {
        const response = await client.admin.listFailedCallbacks({ pageSize: options.limit, pageToken: options.pageToken ?? "" }, { deadlineMs: CALL_DEADLINE_MS });
        return await print(ListFailedCallbacksResponseSchema, response, () => failedText(response, style));
      });
    });
  routerCommand(group, "retry [id]", "Put a callback that was given up, or all, back in line")
    .option("--all", "all of them, up to 10,000")
    .addHelpText("after", "\nThe receiver sees the event ids of before, so it can tell what it has already.\n\nExamples:\n  $ gpu-router callbacks retry 17\n  $ gpu-router callbacks retry --all")
    .action(async (id: string | undefined, options: RetryOptions) => {
      await withRouter(context, options, async ({ client, print }) => {
        const target = targetOf(id, options);
        const response = await client.admin.retryCallback({ target }, { deadlineMs: CALL_DEADLINE_MS });
        const { retried } = response;
        return await print(RetryCallbackResponseSchema, response, () => `${countText(retried)} callback${retried === 1 ? "" : "s"} in line again\n`);
      });
    });
}

function targetOf(id: string | undefined, { all }: RetryOptions) {
  if (id === undefined && all === true) return { case: "all", value: true } as const;
  if (id !== undefined && all !== true && /^[1-9]\d{0,14}$/.test(id)) return { case: "callbackId", value: BigInt(id) } as const;
  throw usageFailure("give either a number from `gpu-router callbacks failed`, or --all");
}

function failedText({ callbacks, failed, pending, nextPageToken }: ListFailedCallbacksResponse, style: Style): string {
  const summary = `${countText(Number(failed))} given up, ${countText(Number(pending))} still being tried`;
  if (callbacks.length === 0) return `${summary}\n`;
  const rows = callbacks.map((each) => [`${each.callbackId}`, printable(each.eventType), printable(each.requestId), printable(each.url), timeText(each.givenUp), countText(each.tries), printable(each.error)]);
  const table = textTable([{ title: "ID" }, { title: "EVENT" }, { title: "REQUEST" }, { title: "URL" }, { title: "GIVEN UP" }, { title: "TRIES" }, { title: "ERROR" }], rows, style.dim);
  const more = nextPageToken === "" ? "" : style.dim(`  more: --page-token ${nextPageToken}\n`);
  return `${table}${summary}\n${more}`;
}
