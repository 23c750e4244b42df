// The private directory of a run: its TMPDIR, its working directory where none is configured, and where its result file lies. Used by
// `exec.ts`.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { chown, mkdtemp, rm, rmdir } from "node:fs/promises";
import { join } from "node:path";
import type { Account } from "./account.js";
import { asAccount, SYSTEM_PATH, systemProgram } from "./confinement.js";

/** Under `parent`, of the account (null: the agent's own), closed to all others. Rejects when it cannot be made. */
export async function makePrivateDirectory(parent: string, account: Account | null): Promise<string> {
  const directory = await mkdtemp(join(parent, "gpu-router-exec-"));
  if (account) await chown(directory, account.uid, account.gid);
  return directory;
}

/** With all that is in it. What another account has made is removed as that account: links in it could lead root anywhere. */
export async function removePrivateDirectory(directory: string, account: Account | null): Promise<void> {
  if (!account) return rm(directory, { recursive: true, force: true, maxRetries: 2 });
  const [program = "", ...args] = [...asAccount(account), systemProgram("sh"), "-c", 'chmod -R u+rwx -- "$1"; rm -rf -- "$1"', "sh", directory];
  await once(spawn(program, args, { cwd: "/", env: { PATH: SYSTEM_PATH }, stdio: "ignore" }), "exit");
  // Where the account may not take it out of its parent.
  if (existsSync(directory)) await rmdir(directory);
}
