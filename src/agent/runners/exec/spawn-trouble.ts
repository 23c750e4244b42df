// Words for a command that could not be started. Called by `exec.ts`.
// The system says ENOENT for a missing program and for a missing directory alike; the operator needs to know which.
import { existsSync } from "node:fs";
import { unsuccessful } from "../outcome.js";
import type { JobOutcome } from "../runner.js";

/** The outcome, naming the path to fix. Another node may have the program, so it is "unavailable". */
export function spawnTrouble(error: NodeJS.ErrnoException, program: string, cwd: string, path: string): JobOutcome {
  // Node itself refused an argument: a NUL byte in an id of the request. It would be refused everywhere.
  if (error.code?.startsWith("ERR_")) return unsuccessful("failed", "spawn_failed", `The command cannot be started for this request: ${error.message}`);
  return unsuccessful("unavailable", "spawn_failed", `${words(error, program, cwd, path)} Fix it in the agent's configuration (runners.exec) or on the node.`);
}

function words(error: NodeJS.ErrnoException, program: string, cwd: string, path: string): string {
  if (!existsSync(cwd)) return `The working directory ${cwd} does not exist.`;
  const where = program.includes("/") ? program : `${program} (PATH is ${path})`;
  switch (error.code) {
    case "ENOENT":
      return `There is no program ${where}, or the interpreter in its first line is missing.`;
    case "EACCES":
      return `The agent may not execute ${where}; check its mode and owner, and those of ${cwd}.`;
    default:
      return `${where} could not be started: ${error.message}.`;
  }
}
