// What every command that talks to a router shares: --router, --key, --ca, --json, one client for the time of the command.
import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import { Option, type Command } from "commander";

import { connectRouter, type RouterClient } from "../api/client.js";
import type { CredentialSources } from "../wire/router-credentials.js";
import { CliFailure, describeFailure, ExitCode, usageFailure } from "./failure.js";
import { jsonDocument } from "./json-output.js";
import { styleFor, type Style } from "./style.js";
import { write, type Terminal } from "./terminal.js";

/** How long a call that answers once may take, ms. */
export const CALL_DEADLINE_MS = 30_000;

const DEFAULT_ADDRESS = "127.0.0.1:50051";

/** What commands are registered with. `exitCode` is what the process will end with. */
export interface CommandContext {
  readonly terminal: Terminal;
  exitCode: number;
}

/** What a running command works with. */
export interface Session<Client> {
  readonly client: Client;
  readonly address: string;
  readonly json: boolean;
  readonly terminal: Terminal;
  /** For stdout. */
  readonly style: Style;
  /** Prints what a command answers, as one JSON document or as `text`. Resolves to the exit code of one that did what it was asked. */
  print<Desc extends DescMessage>(schema: Desc, answer: MessageShape<Desc>, text: () => string): Promise<number>;
}

export type RouterSession = Session<RouterClient>;

export interface RouterOptions {
  readonly router: string;
  readonly key?: string;
  readonly ca?: string;
  readonly cert?: string;
  readonly certKey?: string;
  readonly json?: true;
}

/** Adds a command with the options that all of them have. */
export function routerCommand(program: Command, usage: string, description: string): Command {
  return program
    .command(usage)
    .description(description)
    .addOption(new Option("--router <address>", "router to talk to, host:port").env("GPU_ROUTER_ADDRESS").default(DEFAULT_ADDRESS))
    .addOption(new Option("--key <key>", "who you are, where the router wants to know; the environment is the better place for it").env("GPU_ROUTER_API_KEY"))
    .addOption(new Option("--ca <file>", "speak TLS; authority of the router's certificate in PEM, or \"system\" for those that this machine trusts").env("GPU_ROUTER_CA"))
    .addOption(new Option("--cert <file>", "a client certificate in PEM, with --cert-key").env("GPU_ROUTER_CERT"))
    .addOption(new Option("--cert-key <file>", "its key").env("GPU_ROUTER_CERT_KEY"))
    .option("--json", "print JSON for machines: one document, or one line per event of a stream");
}

/** Runs the command against the router, as `withClient` does. */
export async function withRouter(context: CommandContext, options: RouterOptions, work: (session: RouterSession) => Promise<number>): Promise<void> {
  await withClient(context, options, (address) => connected(() => connectRouter(address, credentialsOf(options))), work);
}

/** Opens a client, runs the command, closes the client. Sets the exit code that `work` gives; failures are thrown as one clear line. */
export async function withClient<Client extends { close(): void | Promise<void> }>(
  context: CommandContext,
  options: RouterOptions,
  open: (address: string) => Client | Promise<Client>,
  work: (session: Session<Client>) => Promise<number>,
): Promise<void> {
  const { terminal } = context;
  const address = checkedAddress(options.router);
  const client = await open(address);
  try {
    const json = options.json === true;
    context.exitCode = await work({
      client,
      address,
      json,
      terminal,
      style: styleFor(terminal.stdout, terminal.env),
      async print(schema, answer, text) {
        await write(terminal.stdout, json ? jsonDocument(schema, answer) : text());
        return ExitCode.ok;
      },
    });
  } catch (error) {
    const { message, exitCode } = describeFailure(error, address);
    throw new CliFailure(message, exitCode);
  } finally {
    await client.close();
  }
}

/** A command to type next, at the same router. */
export function nextCommand(command: string, { address, terminal }: Pick<RouterSession, "address" | "terminal">): string {
  const usual = terminal.env["GPU_ROUTER_ADDRESS"] ?? DEFAULT_ADDRESS;
  return `gpu-router ${command}${address === usual ? "" : ` --router ${address}`}`;
}

/** What the options say of who is calling. */
export function credentialsOf({ key = "", ca = "", cert = "", certKey = "" }: RouterOptions): CredentialSources {
  if ((cert === "") !== (certKey === "")) throw usageFailure("--cert and --cert-key belong together: give both, or none");
  if (cert !== "" && ca === "") throw usageFailure("--cert needs --ca: certificates come with TLS");
  return { key, keyFile: "", ca, cert, certKey };
}

/** What `connect` gives; its trouble is one with the options. */
export function connected<T>(connect: () => T): T {
  try {
    return connect();
  } catch (error) {
    throw usageFailure(error instanceof Error ? error.message : String(error));
  }
}

/** host:port, [v6]:port or unix:path as they are; anything else is bad usage. */
function checkedAddress(address: string): string {
  const [, port] = /^(?:\[[0-9a-fA-F:.%\w]+\]|[^\s:/[\]]+):(\d{1,5})$/.exec(address) ?? [];
  if (/^unix:.+/.test(address) || (port !== undefined && Number(port) >= 1 && Number(port) <= 65_535)) return address;
  throw usageFailure(`--router ${address} is not an address: give host:port, such as 127.0.0.1:50051, without http://`);
}
