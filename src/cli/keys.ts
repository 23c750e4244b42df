// `gpu-router keys`: make, list and revoke API keys.
import { Option, type Command } from "commander";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";

import { CreateKeyResponseSchema, ListKeysResponseSchema, RevokeKeyResponseSchema, Role, type Key } from "../../gen/gpurouter/v1/identity_pb.js";
import { ExitCode, usageFailure } from "./failure.js";
import { identityCommand, withIdentity, type IdentityOptions } from "./identity-command.js";
import { collect, collectRole, KEY_ROLES, rolesText } from "./identity-text.js";
import { moment } from "./option-parsers.js";
import { printable, timeMs, timeText } from "./quantity-text.js";
import { CALL_DEADLINE_MS, type CommandContext } from "./router-command.js";
import type { Style } from "./style.js";
import { write } from "./terminal.js";
import { textTable, truncate } from "./text-table.js";

interface CreateOptions extends IdentityOptions {
  readonly role: readonly Role[];
  readonly user?: string;
  readonly node?: readonly string[];
  readonly label?: string;
  readonly expires?: number;
}

interface ListOptions extends IdentityOptions {
  readonly user?: string;
}

interface RevokeOptions extends IdentityOptions {
  readonly reason?: string;
}

/** Adds the commands. */
export function registerKeys(program: Command, context: CommandContext): void {
  const keys = program.command("keys").description("Make, list and revoke the keys that say who is calling");
  registerCreate(keys, context);
  registerList(keys, context);
  registerRevoke(keys, context);
}

function registerCreate(keys: Command, context: CommandContext): void {
  identityCommand(keys, "create", "Make a key, and print it once")
    .addOption(new Option("-r, --role <role>", `${KEY_ROLES.join(", ")}; may be repeated`).argParser(collectRole(KEY_ROLES)).makeOptionMandatory())
    .option("-u, --user <name>", "whose work it sends (default: admin for role admin, the node for role agent)")
    .option("--node <name>", "for role agent: node that it may speak for, or * for any; may be repeated", collect)
    .option("--label <words>", "what you call it")
    .option("--expires <time>", "when it ends: 90d from now, or 2030-01-31T12:00:00Z", moment(Date.now))
    .addHelpText(
      "after",
      `
The key goes to stdout, alone; it is kept nowhere and cannot be shown again. The first key of a router must be an admin's: make it
with --data while the router is stopped, or on the router's machine while it runs. From then on every call needs a key.

Examples:
  $ gpu-router keys create --role admin --data data                         the first one, while the router is stopped
  $ export GPU_ROUTER_API_KEY=$(gpu-router keys create --role admin)        or while it runs
  $ gpu-router keys create --role user --user alice --expires 90d
  $ gpu-router keys create --role agent --node gpu-node-1 > agent.key`,
    )
    .action(async (options: CreateOptions) => {
      if (options.role.includes(Role.AGENT) && options.node === undefined) throw usageFailure("role agent needs --node NAME for each node that it may speak for, or --node '*' for any");
      if (options.user === undefined && !options.role.some((role) => role === Role.AGENT || role === Role.ADMIN)) throw usageFailure("say with --user NAME whose key it is");
      await withIdentity(context, options, async ({ client, json, print, terminal }) => {
        const made = await client.createKey(
          {
            roles: [...options.role],
            userId: options.user ?? "",
            nodeIds: [...(options.node ?? [])],
            label: options.label ?? "",
            ...(options.expires !== undefined && { expireTime: timestampFromMs(options.expires) }),
          },
          { deadlineMs: CALL_DEADLINE_MS },
        );
        await print(CreateKeyResponseSchema, made, () => `${made.text}\n`);
        if (!json && made.key) await write(terminal.stderr, `${made.key.keyId} for ${printable(made.key.userId)}, ${rolesText(made.key.roles)}. This is the only time that it is shown.\n`);
        return ExitCode.ok;
      });
    });
}

function registerList(keys: Command, context: CommandContext): void {
  identityCommand(keys, "list", "List keys, the oldest first; everybody but an admin sees his own")
    .option("-u, --user <name>", "only this user's")
    .addHelpText(
      "after",
      `
Examples:
  $ gpu-router keys list
  $ gpu-router keys list --user alice --json | jq -r '.keys[].key_id'`,
    )
    .action(async (options: ListOptions) => {
      await withIdentity(context, options, async ({ client, style, print }) => {
        const answer = await client.listKeys({ userId: options.user ?? "" }, { deadlineMs: CALL_DEADLINE_MS });
        return await print(ListKeysResponseSchema, answer, () => (answer.keys.length === 0 ? "No keys.\n" : keyTable(answer.keys, style)));
      });
    });
}

function registerRevoke(keys: Command, context: CommandContext): void {
  identityCommand(keys, "revoke <id>", "End a key for good, at once, with the streams that it opened")
    .option("--reason <words>", "kept in the audit log")
    .addHelpText(
      "after",
      `
Examples:
  $ gpu-router keys revoke gr_7c1d0q2m9k4x --reason "laptop lost"`,
    )
    .action(async (keyId: string, options: RevokeOptions) => {
      await withIdentity(context, options, async ({ client, style, print }) => {
        const answer = await client.revokeKey({ keyId, reason: options.reason ?? "" }, { deadlineMs: CALL_DEADLINE_MS });
        return await print(RevokeKeyResponseSchema, answer, () => `${style.bold(printable(answer.key?.keyId ?? keyId))} is revoked\n`);
      });
    });
}

function keyTable(keys: readonly Key[], style: Style): string {
  const nowMs = Date.now();
  return textTable(
    [{ title: "KEY" }, { title: "USER" }, { title: "ROLES" }, { title: "STATE" }, { title: "LAST USED" }, { title: "FROM" }, { title: "LABEL" }],
    keys.map((key) => [
      printable(key.keyId),
      truncate(printable(key.userId), 32),
      truncate([rolesText(key.roles), ...key.nodeIds.map(printable)].join(" "), 48),
      stateText(key, nowMs, style),
      timeText(key.lastUseTime),
      printable(key.lastAddress) || "-",
      truncate(printable(key.label), 40),
    ]),
    style.bold,
  );
}

function stateText({ revokeTime, expireTime }: Key, nowMs: number, style: Style): string {
  if (revokeTime) return style.red("revoked");
  const expiresAtMs = timeMs(expireTime);
  if (expiresAtMs === null) return style.green("good");
  return expiresAtMs <= nowMs ? style.red("expired") : style.green(`until ${timeText(expireTime)}`);
}
