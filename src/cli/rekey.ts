// `gpu-router rekey`: a copy of a stopped router's data folder under another key, or none.
import { Option, type Command } from "commander";
import type { CommandContext } from "./router-command.js";
import { write } from "./terminal.js";

interface RekeyOptions {
  readonly data: string;
  readonly keyFile?: string;
  readonly to: string;
  readonly newKeyFile?: string;
}

/** Adds the command. */
export function registerRekey(program: Command, { terminal }: CommandContext): void {
  program
    .command("rekey")
    .description("Copy the data folder of a stopped router under another encryption key, or none")
    .addOption(new Option("--data <folder>", "the folder").makeOptionMandatory())
    .option("--key-file <file>", "the key that it is encrypted with (default: it is not)")
    .addOption(new Option("--to <folder>", "the copy; must not be there yet").makeOptionMandatory())
    .option("--new-key-file <file>", "the key of the copy (default: not encrypted)")
    .addHelpText(
      "after",
      `
The router then starts on the copy, with journal.encryption_key_file naming the new key. Destroy the old folder.

Examples:
  $ (umask 077; openssl rand -base64 32 > data.key)
  $ gpu-router rekey --data data --to data-encrypted --new-key-file data.key
  $ gpu-router serve --data data-encrypted --config router.yaml`,
    )
    .action(async ({ data, keyFile = "", to, newKeyFile = "" }: RekeyOptions) => {
      const [{ rekey }, { readVaultKey }] = await Promise.all([import("../journal/rekey.js"), import("../journal/vault-key.js")]);
      const key = readVaultKey(newKeyFile);
      await rekey({ directory: data, key: readVaultKey(keyFile) }, { directory: to, key });
      await write(terminal.stdout, `${to} is a copy of ${data}, ${key ? `encrypted with key ${key.id}` : "not encrypted"}.\n`);
    });
}
