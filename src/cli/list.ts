// `gpu-router list`: requests, newest first.
import { create } from "@bufbuild/protobuf";
import { InvalidArgumentError, type Command } from "commander";

import { ListResponseSchema, RequestState, type ListResponse, type RequestInfo } from "../../gen/gpurouter/v1/router_pb.js";
import { allPages } from "./all-pages.js";
import { ExitCode } from "./failure.js";
import { wholeNumber } from "./option-parsers.js";
import { durationText, printable, timeText } from "./quantity-text.js";
import { gpusText, stateText, whyText } from "./request-text.js";
import { CALL_DEADLINE_MS, routerCommand, withRouter, type CommandContext, type RouterOptions, type RouterSession } from "./router-command.js";
import type { Style } from "./style.js";
import { write } from "./terminal.js";
import { textTable, truncate } from "./text-table.js";

const STATES = ["queued", "processing", "completed", "failed", "cancelled"] as const;

interface ListOptions extends RouterOptions {
  readonly state?: readonly RequestState[];
  readonly user?: string;
  readonly limit: number;
}

/** Adds the command. */
export function registerList(program: Command, context: CommandContext): void {
  routerCommand(program, "list", "List requests, newest first")
    .option("-s, --state <state>", `only this state, may be repeated: ${STATES.join(", ")}`, collectState)
    .option("-u, --user <name>", "only this user's")
    .option("-n, --limit <n>", "how many at most", wholeNumber(1, 100_000), 50)
    .addHelpText(
      "after",
      `
Examples:
  $ gpu-router list --state queued --state processing
  $ gpu-router list --user alice --limit 1000 --json | jq -r '.requests[].request_id'`,
    )
    .action(async (options: ListOptions) => {
      await withRouter(context, options, async (session) => {
        const page = await listPages(session, options);
        const { json, print, style, terminal } = session;
        await print(ListResponseSchema, page, () => (page.requests.length === 0 ? "No requests.\n" : listTable(page.requests, style)));
        if (!json && page.nextPageToken !== "") await write(terminal.stderr, `There are more: raise --limit above ${options.limit}.\n`);
        return ExitCode.ok;
      });
    });
}

function collectState(text: string, earlier: readonly RequestState[] = []): readonly RequestState[] {
  const name = text.toLowerCase();
  if (!(STATES as readonly string[]).includes(name)) throw new InvalidArgumentError(`Give one of ${STATES.join(", ")}.`);
  return [...earlier, RequestState[name.toUpperCase() as Uppercase<(typeof STATES)[number]>]];
}

function listPages({ client }: RouterSession, { state = [], user: userId = "", limit }: ListOptions): Promise<ListResponse> {
  return allPages(create(ListResponseSchema), ({ requests }) => requests, limit, (page) => client.list({ states: [...state], userId, ...page }, { deadlineMs: CALL_DEADLINE_MS }));
}

function listTable(requests: readonly RequestInfo[], style: Style): string {
  return textTable(
    [
      { title: "REQUEST" },
      { title: "STATE" },
      { title: "PRIO", align: "right" },
      { title: "MODEL" },
      { title: "USER" },
      { title: "GPU" },
      { title: "ACCEPTED" },
      { title: "RAN", align: "right" },
      { title: "WHY" },
    ],
    requests.map((request) => [
      printable(request.requestId),
      stateText(request.state, style),
      String(request.priority),
      truncate(printable(request.modelId), 32),
      truncate(printable(request.userId), 24),
      truncate(gpusText(request), 40) || "-",
      timeText(request.acceptedTime),
      request.startTime === undefined ? "-" : durationText(Number(request.durationMs)),
      truncate(whyText(request), 60),
    ]),
    style.bold,
  );
}
