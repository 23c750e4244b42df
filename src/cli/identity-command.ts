// What the commands about users and keys share: they talk to a running router, or with --data work on the folder of one that is stopped.
import { Option, type Command } from "commander";

import { connectIdentity, type IdentityClient } from "../api/client.js";
import type { FolderIdentity } from "./identity-folder.js";
import { CliFailure, describeFailure } from "./failure.js";
import { checkedAddress, connected, credentialsOf, routerCommand, type CommandContext, type RouterOptions } from "./router-command.js";
import { styleFor, type Style } from "./style.js";
import type { Terminal } from "./terminal.js";

export interface IdentityOptions extends RouterOptions {
  readonly data?: string;
  readonly config?: string;
}

/** What a running command works with. */
export interface IdentitySession {
  readonly client: IdentityClient;
  readonly json: boolean;
  readonly terminal: Terminal;
  /** For stdout. */
  readonly style: Style;
}

/** Adds a command with the options that all of them have. */
export function identityCommand(parent: Command, usage: string, description: string): Command {
  return routerCommand(parent, usage, description)
    .addOption(new Option("--data <folder>", "work on the data folder of a router that is stopped, without a key"))
    .addOption(new Option("--config <file>", "with --data: configuration of that router (default: as in serve), which names the key of a folder that is encrypted"));
}

/** Runs the command against the router, or against its folder. Sets the exit code that `work` gives; failures are thrown as one clear line. */
export async function withIdentity(context: CommandContext, options: IdentityOptions, work: (session: IdentitySession) => Promise<number>): Promise<void> {
  const { terminal } = context;
  const address = checkedAddress(options.router);
  const client = options.data === undefined ? connected(() => connectIdentity(address, credentialsOf(options))) : await folderClient(options.data, options.config, terminal.env);
  try {
    context.exitCode = await work({ client, json: options.json === true, terminal, style: styleFor(terminal.stdout, terminal.env) });
  } catch (error) {
    const { message, exitCode } = describeFailure(error, address);
    throw new CliFailure(message, exitCode);
  } finally {
    await client.close();
  }
}

/** Loaded only when it is asked for: it brings the database, the configuration and half of the router along. */
async function folderClient(directory: string, configFile: string | undefined, env: NodeJS.ProcessEnv): Promise<FolderIdentity> {
  const { openFolder } = await import("./identity-folder.js");
  return await openFolder(directory, configFile, env);
}
