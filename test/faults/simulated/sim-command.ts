// `npm run sim` as the tests call it.
import { spawnSync } from "node:child_process";
import path from "node:path";

const MAIN = path.join(import.meta.dirname, "main.mjs");

/** Time for a test that runs many seeds, ms. */
export const LIMIT_MS = 600_000;

/** What `--json` prints. */
export interface Report {
  readonly seeds: number;
  readonly wall_seconds: number;
  readonly happened: Readonly<Record<string, number>>;
  readonly failures: readonly { readonly seed: number; readonly invariant: string; readonly detail: string; readonly again: string }[];
}

/** Runs it to its end. */
export function sim(...args: readonly string[]): { readonly status: number | null; readonly stdout: string; readonly stderr: string } {
  return spawnSync(process.execPath, [MAIN, ...args], { encoding: "utf8", maxBuffer: 1 << 26 });
}

/** Its report; throws with what it said when there is none. */
export function report(...args: readonly string[]): Report {
  const { stdout, stderr } = sim(...args, "--json");
  if (stdout === "") throw new Error(stderr);
  return JSON.parse(stdout) as Report;
}
