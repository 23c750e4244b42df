// What the commands about users and keys share: they talk to a running router, or with --data work on the folder of one that is stopped.
import { Option, type Command } from "commander";

import { connectIdentity } from "../api/client.js";
import type { FolderClient } from "./identity-folder.js";
import { connected, credentialsOf, routerCommand, withClient, type CommandContext, type RouterOptions, type Session } from "./router-command.js";

export interface IdentityOptions extends RouterOptions {
  readonly data?: string;
  readonly config?: string;
}

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
    data === undefined ? connected(() => connectIdentity(address, credentialsOf(options))) : folderClient(data, config, context.terminal.env);
  await withClient(context, options, open, work);
}

/** Loaded only when it is asked for: it brings the database, the configuration and half of the router along. */
async function folderClient(directory: string, configFile: string | undefined, env: NodeJS.ProcessEnv): Promise<FolderClient> {
  const { openFolder } = await import("./identity-folder.js");
  return await openFolder(directory, configFile, env);
}
