// What the commands about users and keys share: they talk to a running router, or with --data work on the folder of one that is stopped.
import { Option, type Command } from "commander";
import { create, type Message } from "@bufbuild/protobuf";
import { pino } from "pino";
import { userInfo } from "node:os";

import { IdentityService } from "../../gen/gpurouter/v1/identity_pb.js";
import { connectIdentity, type IdentityClient } from "../api/client.js";
import { LOCAL_CALLER } from "../api/guard.js";
import type { Principal } from "../auth/principal.js";
import { loadRouterConfig } from "../config/router-config.js";
import { CliFailure, usable } from "./failure.js";
import { connected, credentialsOf, routerCommand, withClient, type CommandContext, type RouterOptions, type Session } from "./router-command.js";

export interface IdentityOptions extends RouterOptions {
  readonly data?: string;
  readonly config?: string;
}

/** An open folder is closed with a wait. */
type FolderClient = Omit<IdentityClient, "close"> & { close(): void | Promise<void> };

export type IdentitySession = Session<FolderClient>;

/** Adds a command with the options that all of them have. */
export function identityCommand(parent: Command, usage: string, description: string): Command {
  return routerCommand(parent, usage, description)
    .addOption(new Option("--data <folder>", "work on the data folder of a router that is stopped, without a key"))
    .addOption(new Option("--config <file>", "with --data: configuration of that router (default: as in serve), which names the key of a folder that is encrypted"));
}

/** Runs the command against the router, or against its folder, as `withClient` does. */
export async function withIdentity(context: CommandContext, options: IdentityOptions, work: (session: IdentitySession) => Promise<number>): Promise<void> {
  const { data, config } = options;
  const open = (address: string): FolderClient | Promise<FolderClient> =>
    data === undefined ? connected(() => connectIdentity(address, credentialsOf(options))) : openFolder(data, config, context.terminal.env);
  await withClient(context, options, open, work);
}

/** The service itself over the folder, with its lock held. Loaded only when it is asked for: it brings the database along. */
async function openFolder(directory: string, configFile: string | undefined, env: NodeJS.ProcessEnv): Promise<FolderClient> {
  const { mkdirSync } = await import("node:fs");
  const { lockDirectory } = await import("../journal/directory-lock.js");
  const { readVaultKey } = await import("../journal/vault-key.js");
  const { openIdentity } = await import("../router/identity.js");
  const { createIdentityService } = await import("../api/identity-service.js");
  // Who may call is not asked here: of the rest only defaults count.
  const { auth, encryptionKeyFile } = usable(() => loadRouterConfig(configFile, env));
  const key = readVaultKey(encryptionKeyFile);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const lock = await lockDirectory(directory).catch((error: unknown) => {
    if (!(error instanceof Error && error.message.includes("is in use"))) throw error;
    throw new CliFailure(`a router runs on ${directory}: leave out --data, and say with --router and --key (an admin's) which one it is`);
  });
  try {
    const { book, audit, close } = openIdentity(directory, key, auth, pino({ level: "silent" }));
    const handlers = createIdentityService(book, audit);
    const name = `${userInfo().username} on the router's machine` as Principal["name"];
    const caller = { ...LOCAL_CALLER, principal: { ...LOCAL_CALLER.principal, name } };
    type Handle = (message: Message, by: typeof caller) => Promise<Message> | Message;
    const calls = IdentityService.methods.map((method) => [
      method.localName,
      async (request: Readonly<Record<string, unknown>>) => ((handlers as Readonly<Record<string, unknown>>)[method.localName] as Handle)(create(method.input, request), caller),
    ]);
    return {
      ...(Object.fromEntries(calls) as Omit<IdentityClient, "close">),
      async close() {
        await close();
        await lock.release();
      },
    };
  } catch (error) {
    await lock.release();
    throw error;
  }
}
