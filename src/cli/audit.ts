// `gpu-router audit`: what admins did, where keys were used first, and who was refused.
import { create } from "@bufbuild/protobuf";
import type { Command } from "commander";

import { ListAuditResponseSchema, type AuditEntry, type ListAuditResponse } from "../../gen/gpurouter/v1/identity_pb.js";
import { allPages } from "./all-pages.js";
import { ExitCode } from "./failure.js";
import { identityCommand, withIdentity, type IdentityOptions, type IdentitySession } from "./identity-command.js";
import { wholeNumber } from "./option-parsers.js";
import { printable, timeText } from "./quantity-text.js";
import { CALL_DEADLINE_MS, type CommandContext } from "./router-command.js";
import type { Style } from "./style.js";
import { write } from "./terminal.js";
import { textTable, truncate } from "./text-table.js";

interface AuditOptions extends IdentityOptions {
  readonly limit: number;
}

/** Adds the command. */
export function registerAudit(program: Command, context: CommandContext): void {
  identityCommand(program, "audit", "Show who did what, and who was refused; newest first")
    .option("-n, --limit <n>", "how many at most", wholeNumber(1, 100_000), 50)
    .addHelpText(
      "after",
      `
Refusals beyond a rate are counted instead of written. How long the log goes back is auth.audit of the router's configuration.

Examples:
  $ gpu-router audit
  $ gpu-router audit --limit 10000 --json | jq '.entries[] | select(.outcome == "refused")'`,
    )
    .action(async (options: AuditOptions) => {
      await withIdentity(context, options, async (session) => {
        const page = await auditPages(session, options.limit);
        const { json, print, style, terminal } = session;
        await print(ListAuditResponseSchema, page, () => (page.entries.length === 0 ? "Nothing yet.\n" : auditTable(page.entries, style)));
        if (!json && page.nextPageToken !== "") await write(terminal.stderr, `There is more: raise --limit above ${options.limit}.\n`);
        return ExitCode.ok;
      });
    });
}

function auditPages({ client }: IdentitySession, limit: number): Promise<ListAuditResponse> {
  return allPages(create(ListAuditResponseSchema), ({ entries }) => entries, limit, (page) => client.listAudit(page, { deadlineMs: CALL_DEADLINE_MS }));
}

function auditTable(entries: readonly AuditEntry[], style: Style): string {
  const outcome = (text: string): string => (text === "refused" ? style.red(text) : text);
  return textTable(
    [{ title: "TIME" }, { title: "WHO" }, { title: "BY" }, { title: "ACT" }, { title: "OUTCOME" }, { title: "SUBJECT" }, { title: "FROM" }, { title: "WHY" }],
    entries.map((entry) => [
      timeText(entry.time),
      truncate(printable(entry.userId), 32) || "-",
      truncate(printable(entry.credential), 32) || "-",
      printable(entry.act),
      outcome(printable(entry.outcome)),
      truncate(printable(entry.subject), 48) || "-",
      printable(entry.address) || "-",
      truncate(printable(entry.reason), 100),
    ]),
    style.bold,
  );
}
