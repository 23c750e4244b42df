// Work that must not run twice at once, as a command of the exec runner, and the proof that it did not: each run writes its name into
// the request's file when it begins, every 50 ms, and when it ends. Two runs overlap exactly when their lines interleave; no clock is needed.
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";

/** The model id by which requests ask for it. */
export const ONCE = "once";

const SCRIPT = `
run="$GPU_ROUTER_ATTEMPT.$$" file="$1/$GPU_ROUTER_REQUEST_ID" left=$(cat)
echo "$run begins" >>"$file"
while [ "$left" -gt 0 ]; do sleep 0.05; echo "$run works" >>"$file"; left=$((left - 1)); done
echo "$run ends" >>"$file"
`;

/** The command for the section `runners.exec` of an agent; its requests say on stdin for how many twentieths of a second it works. */
export function onceCommand(folder: string): object {
  return { name: ONCE, argv: ["/bin/sh", "-c", SCRIPT, "once", folder], kill_grace_s: 1 };
}

export interface OnceReport {
  readonly requests: number;
  readonly runs: number;
  /** Runs that came to their end; above `requests` when an end was lost with its agent. */
  readonly completed: number;
  /** Files in which a run wrote after a later one had begun. */
  readonly overlapping: readonly string[];
}

/** Reads what the runs have written. */
export function onceReport(folder: string): OnceReport {
  const files = readdirSync(folder).map((name) => ({ name, runs: readRuns(readFileSync(path.join(folder, name), "utf8")) }));
  return {
    requests: files.length,
    runs: files.reduce((sum, { runs }) => sum + runs.names.size, 0),
    completed: files.reduce((sum, { runs }) => sum + runs.completed, 0),
    overlapping: files.filter(({ runs }) => runs.interleaved !== "").map(({ name, runs }) => `${name}: ${runs.interleaved}`),
  };
}

/** `interleaved` says which line came too late; "" when none did. */
export function readRuns(text: string): { readonly names: ReadonlySet<string>; readonly completed: number; readonly interleaved: string } {
  const names = new Set<string>();
  let current = "";
  let completed = 0;
  let interleaved = "";
  for (const [index, line] of text.split("\n").filter((each) => each !== "").entries()) {
    const [name = "", what = ""] = line.split(" ");
    if (name !== current && names.has(name)) interleaved ||= `line ${index + 1}, "${line}", after ${current} had begun`;
    names.add(name);
    current = name;
    if (what === "ends") completed += 1;
  }
  return { names, completed, interleaved };
}
