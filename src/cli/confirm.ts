// Asks before something is stopped for good: only people at a terminal are asked, scripts say --yes.
import { createInterface } from "node:readline/promises";
import { usageFailure } from "./failure.js";
import type { Terminal, TerminalStream } from "./terminal.js";

/** Resolves when it may be done: `yes` was given, or somebody said so. Throws when nobody can be asked, or the answer is no. */
export async function confirm(terminal: Terminal, yes: boolean, what: string): Promise<void> {
  if (yes) return;
  const interactive = (terminal.stdin as { isTTY?: boolean }).isTTY === true && (terminal.stderr as TerminalStream).isTTY === true;
  if (!interactive) throw usageFailure(`${what} Add --yes to do it without being asked`);
  const line = createInterface({ input: terminal.stdin, output: terminal.stderr });
  try {
    const answer = await line.question(`${what} Go on? [y/N] `);
    if (!/^y(es)?$/i.test(answer.trim())) throw usageFailure("nothing was done");
  } finally {
    line.close();
  }
}
