// `gpu-router users`: people with passwords and teams. Who has only keys need not be here.
import { Option, type Command } from "commander";
import { readFileSync } from "node:fs";
import { text as readAll } from "node:stream/consumers";

import { ListUsersResponseSchema, PutUserResponseSchema, type Role, type User } from "../../gen/gpurouter/v1/identity_pb.js";
import { ExitCode, usageFailure } from "./failure.js";
import { identityCommand, withIdentity, type IdentityOptions } from "./identity-command.js";
import { collectRole, rolesText, USER_ROLES } from "./identity-text.js";
import { printable, timeText } from "./quantity-text.js";
import { CALL_DEADLINE_MS, type CommandContext } from "./router-command.js";
import type { Style } from "./style.js";
import { write, type Terminal } from "./terminal.js";
import { textTable, truncate } from "./text-table.js";

interface PutOptions extends IdentityOptions {
  readonly role: readonly Role[];
  readonly team?: string;
  readonly passwordFile?: string;
  /** false for --no-password. */
  readonly password: boolean;
}

interface DeleteOptions extends IdentityOptions {
  readonly reason?: string;
}

/** Adds the commands. */
export function registerUsers(program: Command, context: CommandContext): void {
  const users = program.command("users").description("Make, list and delete users with passwords or teams");
  registerPut(users, context);
  registerList(users, context);
  registerDelete(users, context);
}

function registerPut(users: Command, context: CommandContext): void {
  identityCommand(users, "put <name>", "Make or change a user")
    .addOption(new Option("-r, --role <role>", `${USER_ROLES.join(", ")}; may be repeated`).argParser(collectRole(USER_ROLES)).makeOptionMandatory())
    .option("--team <name>", "the team that the work also counts for")
    .option("--password-file <file>", "file with the new password, 12 characters at least; - for stdin. Left out, it stays")
    .option("--no-password", "take the password away")
    .addHelpText(
      "after",
      `
A password is for HTTP Basic, where a client cannot send a key. The last line break of the file does not count.

Examples:
  $ gpu-router users put alice --role user --team research --password-file alice.txt
  $ pass show gpu/alice | gpu-router users put alice --role user --password-file -
  $ gpu-router users put alice --role reader --no-password`,
    )
    .action(async (userId: string, options: PutOptions) => {
      const password = await passwordOf(options, context.terminal);
      await withIdentity(context, options, async ({ client, style, print }) => {
        const answer = await client.putUser({ userId, roles: [...options.role], team: options.team ?? "", ...(password !== null && { password }) }, { deadlineMs: CALL_DEADLINE_MS });
        const text = `${style.bold(printable(userId))} is ${rolesText(answer.user?.roles ?? [])}, ${answer.user?.hasPassword ? "with" : "without"} a password\n`;
        return await print(PutUserResponseSchema, answer, () => text);
      });
    });
}

function registerList(users: Command, context: CommandContext): void {
  identityCommand(users, "list", "List users by name")
    .addHelpText(
      "after",
      `
Examples:
  $ gpu-router users list
  $ gpu-router users list --json | jq -r '.users[] | select(.has_password) | .user_id'`,
    )
    .action(async (options: IdentityOptions) => {
      await withIdentity(context, options, async ({ client, style, print }) => {
        const answer = await client.listUsers({}, { deadlineMs: CALL_DEADLINE_MS });
        return await print(ListUsersResponseSchema, answer, () => (answer.users.length === 0 ? "No users.\n" : userTable(answer.users, style)));
      });
    });
}

function registerDelete(users: Command, context: CommandContext): void {
  identityCommand(users, "delete <name>", "Forget a user and revoke all his keys; his requests stay")
    .option("--reason <words>", "kept in the audit log")
    .addHelpText(
      "after",
      `
Examples:
  $ gpu-router users delete alice --reason "left the team"`,
    )
    .action(async (userId: string, options: DeleteOptions) => {
      await withIdentity(context, options, async ({ client, json, terminal, style }) => {
        await client.deleteUser({ userId, reason: options.reason ?? "" }, { deadlineMs: CALL_DEADLINE_MS });
        await write(terminal.stdout, json ? `${JSON.stringify({ deleted: userId })}\n` : `${style.bold(printable(userId))} is gone, with all keys\n`);
        return ExitCode.ok;
      });
    });
}

/** null leaves the password that is there. */
async function passwordOf({ passwordFile, password }: PutOptions, { stdin }: Terminal): Promise<string | null> {
  if (!password) return "";
  if (passwordFile === undefined) return null;
  try {
    const content = passwordFile === "-" ? await readAll(stdin) : readFileSync(passwordFile, "utf8");
    return content.replace(/\r?\n$/, "");
  } catch (error) {
    throw usageFailure(`--password-file: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function userTable(users: readonly User[], style: Style): string {
  return textTable(
    [{ title: "USER" }, { title: "ROLES" }, { title: "TEAM" }, { title: "PASSWORD" }, { title: "CHANGED" }],
    users.map((user) => [truncate(printable(user.userId), 40), rolesText(user.roles), truncate(printable(user.team), 32) || "-", user.hasPassword ? "yes" : "no", timeText(user.changeTime)]),
    style.bold,
  );
}
