// `gpu-router quota`: what users and teams may have, have and have left; sets it.
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import { InvalidArgumentError, type Command } from "commander";

import { GetQuotaResponseSchema, ListQuotasResponseSchema, QuotaMode, SetQuotaResponseSchema, type ListQuotasResponse, type Quota, type QuotaLimitsSchema, type QuotaUse, type RateUse } from "../../gen/gpurouter/v1/quota_pb.js";
import { allPages } from "./all-pages.js";
import { usageFailure } from "./failure.js";
import { decimalNumber, wholeNumber } from "./option-parsers.js";
import { printable } from "./quantity-text.js";
import { CALL_DEADLINE_MS, routerCommand, withRouter, type CommandContext, type RouterOptions, type RouterSession } from "./router-command.js";
import type { Style } from "./style.js";
import { textTable } from "./text-table.js";

const MOST = 10_000_000;

interface SubjectOptions extends RouterOptions {
  readonly team?: true;
}

interface SetOptions extends SubjectOptions {
  readonly gpuTime?: number;
  readonly concurrent?: number;
  readonly priority?: number;
  readonly gpus?: number;
  readonly perMinute?: number;
  readonly perDay?: number;
  readonly queued?: number;
  readonly queuedBytes?: number;
  readonly model?: Readonly<Record<string, number>>;
  readonly weight?: number;
  readonly inTeam?: string;
  readonly reset?: true;
  readonly reason?: string;
}

/** Adds the command with its three. */
export function registerQuota(program: Command, context: CommandContext): void {
  const quota = program.command("quota").description("See and set what users and teams may have");
  registerShow(quota, context);
  registerSet(quota, context);
  registerList(quota, context);
}

function registerShow(quota: Command, context: CommandContext): void {
  routerCommand(quota, "show <name>", "What one user may have, has in use and has left")
    .option("--team", "the name is that of a team")
    .addHelpText(
      "after",
      `
Limits on what is on GPUs keep requests waiting; the others refuse them. REFUSED counts both, since the router started.

Examples:
  $ gpu-router quota show alice
  $ gpu-router quota show research --team --json`,
    )
    .action(async (name: string, options: SubjectOptions) => {
      await withRouter(context, options, async ({ client, style, print }) => {
        const response = await client.quotas.getQuota({ subject: subjectOf(name, options) }, { deadlineMs: CALL_DEADLINE_MS });
        return await print(GetQuotaResponseSchema, response, () => quotaText(response.quota, style));
      });
    });
}

function registerSet(quota: Command, context: CommandContext): void {
  const limit = wholeNumber(0, MOST);
  routerCommand(quota, "set <name>", "Set limits of one user or team; 0 is no limit, what is left out stays")
    .option("--team", "the name is that of a team")
    .option("--concurrent <n>", "requests on GPUs at once; more wait", limit)
    .option("--priority <n>", "of them, of priority 4 and 5; more wait", limit)
    .option("--gpus <n>", "different GPUs at once; more wait", limit)
    .option("--model <name=n>", "requests on GPUs at once for a model, may be repeated; more wait", collectModel)
    .option("--gpu-time <minutes>", "GPU time per period; more waits, and is refused when none is left", wholeNumber(0, 1_000_000_000))
    .option("--per-minute <n>", "requests accepted within any minute; more are refused", limit)
    .option("--per-day <n>", "requests accepted within any 24 hours; more are refused", wholeNumber(0, 1_000_000_000))
    .option("--queued <n>", "requests that wait for their first GPU; more are refused", limit)
    .option("--queued-bytes <n>", "payload bytes of those; more are refused", wholeNumber(0, Number.MAX_SAFE_INTEGER))
    .option("--weight <share>", "GPU time beside other users of the same priority, 1 by default", decimalNumber(0.01, 100, true))
    .option("--in-team <name>", 'the team whose limits count too; "" for none')
    .option("--reset", "forget what was set before")
    .option("--reason <words>", "kept with it")
    .addHelpText(
      "after",
      `
It counts at once. What already runs goes on.

Examples:
  $ gpu-router quota set alice --concurrent 7 --per-minute 600 --reason "load test"
  $ gpu-router quota set research --team --gpus 16
  $ gpu-router quota set bob --in-team research --weight 2
  $ gpu-router quota set alice --reset`,
    )
    .action(async (name: string, options: SetOptions) => {
      const limits = limitsOf(options);
      if (Object.keys(limits).length === 0 && !options.reset) throw usageFailure("nothing to set: give a limit such as --concurrent 7, or --reset");
      if (options.team && (options.weight !== undefined || options.inTeam !== undefined)) throw usageFailure("--weight and --in-team are of users, not of teams");
      await withRouter(context, options, async ({ client, style, print }) => {
        const request = { subject: subjectOf(name, options), limits, reset: options.reset === true, reason: options.reason ?? "" };
        const response = await client.quotas.setQuota(request, { deadlineMs: CALL_DEADLINE_MS });
        return await print(SetQuotaResponseSchema, response, () => quotaText(response.quota, style));
      });
    });
}

function registerList(quota: Command, context: CommandContext): void {
  routerCommand(quota, "list", "The quotas that were set")
    .addHelpText(
      "after",
      `
Examples:
  $ gpu-router quota list
  $ gpu-router quota list --json | jq -r '.quotas[].user_id'`,
    )
    .action(async (options: RouterOptions) => {
      await withRouter(context, options, async (session) => {
        const all = await everyQuota(session);
        return await session.print(ListQuotasResponseSchema, all, () => (all.quotas.length === 0 ? "Nothing was set: everybody has the defaults.\n" : listTable(all.quotas, session.style)));
      });
    });
}

function everyQuota({ client }: RouterSession): Promise<ListQuotasResponse> {
  return allPages(create(ListQuotasResponseSchema), ({ quotas }) => quotas, Number.POSITIVE_INFINITY, (page) => client.quotas.listQuotas(page, { deadlineMs: CALL_DEADLINE_MS }));
}

function subjectOf(name: string, { team }: SubjectOptions) {
  return { case: team ? "teamId" : "userId", value: name } as const;
}

function limitsOf(options: SetOptions): MessageInitShape<typeof QuotaLimitsSchema> {
  const { gpuTime, concurrent, priority, gpus, perMinute, perDay, queued, queuedBytes, model, weight, inTeam } = options;
  const set = <K extends string>(key: K, value: number | undefined): Partial<Record<K, bigint>> => (value === undefined ? {} : { [key]: BigInt(value) }) as Partial<Record<K, bigint>>;
  return {
    ...set("gpuTimeLimit", gpuTime),
    ...set("concurrentRequestsLimit", concurrent),
    ...set("priorityRequestsLimit", priority),
    ...set("gpuLimit", gpus),
    ...set("requestsPerMinuteLimit", perMinute),
    ...set("requestsPerDayLimit", perDay),
    ...set("queuedRequestsLimit", queued),
    ...set("queuedBytesLimit", queuedBytes),
    ...(model && { modelLimits: Object.fromEntries(Object.entries(model).map(([name, limit]) => [name, BigInt(limit)])) }),
    ...(weight !== undefined && { weight }),
    ...(inTeam !== undefined && { teamId: inTeam }),
  };
}

function collectModel(text: string, earlier: Readonly<Record<string, number>> = {}): Readonly<Record<string, number>> {
  const match = /^(.+)=(\d{1,8})$/.exec(text);
  if (!match?.[1] || Number(match[2]) > MOST) throw new InvalidArgumentError("Give a model and its limit, such as llama-3-70b=4.");
  return { ...earlier, [match[1]]: Number(match[2]) };
}

const MODE_TEXT: Readonly<Record<QuotaMode, string>> = {
  [QuotaMode.UNSPECIFIED]: "",
  [QuotaMode.OFF]: "off: use is counted, nothing is refused",
  [QuotaMode.SHADOW]: "shadow: what would be refused is counted",
  [QuotaMode.ENFORCE]: "",
};

function quotaText(quota: Quota | undefined, style: Style): string {
  if (!quota?.quotas || !quota.rateLimits) return "";
  const { quotas, rateLimits, userId, teamId, weight, mode } = quota;
  const about = [userId !== "" && teamId !== "" ? `team ${printable(teamId)}` : "", weight === 1 ? "" : `weight ${weight}`, MODE_TEXT[mode]].filter((text) => text !== "");
  const rows = [
    row("GPU time, minutes", quotas.gpuTime, timeOf(quota.gpuTimeResetTime)),
    row("requests on GPUs", quotas.concurrentRequests),
    row("  of priority 4 and 5", quotas.priorityRequests),
    ...Object.entries(quotas.models).map(([model, use]) => row(`  for ${printable(model)}`, use)),
    row("GPUs", quotas.gpus),
    row("requests per minute", rateLimits.requestsPerMinute, timeOf(rateLimits.requestsPerMinute?.resetTime)),
    row("requests per day", rateLimits.requestsPerDay, timeOf(rateLimits.requestsPerDay?.resetTime)),
    row("requests in line", quotas.queuedRequests),
    row("bytes in line", quotas.queuedBytes),
  ];
  const columns = [{ title: "LIMIT" }, { title: "MOST", align: "right" }, { title: "USED", align: "right" }, { title: "LEFT", align: "right" }, { title: "REFUSED", align: "right" }, { title: "RESET" }] as const;
  const title = userId === "" ? `team ${printable(teamId)}` : printable(userId);
  const setBy = quota.set ? style.dim(`set by ${printable(quota.setBy)} at ${timeOf(quota.setTime)}${quota.setReason === "" ? "" : `: ${printable(quota.setReason)}`}\n`) : "";
  return `${style.bold(title)}${about.length > 0 ? `  ${about.join(", ")}` : ""}\n${textTable(columns, rows, style.bold)}${setBy}`;
}

function row(name: string, use: QuotaUse | RateUse | undefined, reset = ""): readonly string[] {
  const { limit, used = 0n, remaining, refused = 0n } = use ?? {};
  return [name, limit === undefined ? "-" : String(limit), String(used), remaining === undefined ? "-" : String(remaining), String(refused), reset];
}

function timeOf(time: Quota["setTime"]): string {
  return time ? timestampDate(time).toISOString().slice(0, 19).replace("T", " ") : "";
}

function listTable(all: readonly Quota[], style: Style): string {
  const columns = [{ title: "NAME" }, { title: "KIND" }, { title: "TEAM" }, { title: "SET" }, { title: "BY" }, { title: "WHEN" }, { title: "WHY" }] as const;
  const rows = all.map((quota) => [
    printable(quota.userId === "" ? quota.teamId : quota.userId),
    quota.userId === "" ? "team" : "user",
    quota.userId === "" ? "-" : printable(quota.teamId) || "-",
    setText(quota),
    printable(quota.setBy),
    timeOf(quota.setTime),
    printable(quota.setReason) || "-",
  ]);
  return textTable(columns, rows, style.bold);
}

/** What was set, as the options that would set it. */
function setText({ set }: Quota): string {
  if (!set) return "-";
  const option = (name: string, value: bigint | number | undefined): string[] => (value === undefined ? [] : [`${name} ${value}`]);
  const parts = [
    ...option("gpu-time", set.gpuTimeLimit),
    ...option("concurrent", set.concurrentRequestsLimit),
    ...option("priority", set.priorityRequestsLimit),
    ...option("gpus", set.gpuLimit),
    ...option("per-minute", set.requestsPerMinuteLimit),
    ...option("per-day", set.requestsPerDayLimit),
    ...option("queued", set.queuedRequestsLimit),
    ...option("queued-bytes", set.queuedBytesLimit),
    ...Object.entries(set.modelLimits).map(([model, limit]) => `model ${printable(model)}=${limit}`),
    ...option("weight", set.weight),
  ];
  return parts.join(", ") || "-";
}
