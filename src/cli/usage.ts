// `gpu-router usage`: what users have had.
import { create } from "@bufbuild/protobuf";
import type { Command } from "commander";

import { ListUsageResponseSchema, type ListUsageResponse, type Usage } from "../../gen/gpurouter/v1/quota_pb.js";
import { allPages } from "./all-pages.js";
import { ExitCode } from "./failure.js";
import { wholeNumber } from "./option-parsers.js";
import { durationText, printable, timeText } from "./quantity-text.js";
import { CALL_DEADLINE_MS, routerCommand, withRouter, type CommandContext, type RouterOptions, type RouterSession } from "./router-command.js";
import type { Style } from "./style.js";
import { write } from "./terminal.js";
import { textTable, truncate } from "./text-table.js";

interface UsageOptions extends RouterOptions {
  readonly user?: string;
  readonly limit: number;
}

/** Adds the command. */
export function registerUsage(program: Command, context: CommandContext): void {
  routerCommand(program, "usage", "What users have had: requests, GPU time, response time")
    .option("-u, --user <name>", "only this user")
    .option("-n, --limit <n>", "how many users at most, by name", wholeNumber(1, 100_000), 100)
    .addHelpText(
      "after",
      `
GPU time is the time that requests ran, times the GPUs of each. Failures that are not the user's cost nothing.

Examples:
  $ gpu-router usage
  $ gpu-router usage --user alice --json`,
    )
    .action(async (options: UsageOptions) => {
      await withRouter(context, options, async (session) => {
        const all = await usagePages(session, options);
        const { json, print, style, terminal } = session;
        await print(ListUsageResponseSchema, all, () => (all.users.length === 0 ? "No requests yet.\n" : usageTable(all.users, style)));
        if (!json && all.nextPageToken !== "") await write(terminal.stderr, `There are more: raise --limit above ${options.limit}.\n`);
        return ExitCode.ok;
      });
    });
}

function usagePages({ client }: RouterSession, { user: userId = "", limit }: UsageOptions): Promise<ListUsageResponse> {
  return allPages(create(ListUsageResponseSchema), ({ users }) => users, limit, (page) => client.quotas.listUsage({ userId, ...page }, { deadlineMs: CALL_DEADLINE_MS }));
}

function usageTable(users: readonly Usage[], style: Style): string {
  const right = (title: string) => ({ title, align: "right" }) as const;
  const columns = [{ title: "USER" }, right("REQUESTS"), right("COMPLETED"), right("FAILED"), right("CANCELLED"), right("GPU TIME"), right("RESPONSE"), { title: "SINCE" }];
  const rows = users.map((user) => [
    truncate(printable(user.userId), 40),
    String(user.requests),
    String(user.completed),
    String(user.failed),
    String(user.cancelled),
    durationText(Number(user.gpuTimeMs)),
    user.completed === 0n ? "-" : durationText(user.responseTimeMs),
    timeText(user.sinceTime),
  ]);
  return textTable(columns, rows, style.bold);
}
