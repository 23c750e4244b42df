// The guard of an agent's commands, a process of its own: it ends them when the agent cannot. Started by `process-guard.ts`, which tells
// it on stdin, a line each:
//   + GROUP once     a process group runs work that must not run twice at once;  + GROUP any     one that may
//   - GROUP          it is gone
//   until MS         the agent's lease runs out then, by the machine's monotonic clock
// At the end of stdin the agent is dead: every group is killed. When the lease has run out and the agent has not stopped its work that
// must not run twice, as it cannot while it is itself stopped, those groups are killed.
import { hrtime } from "node:process";
import { createInterface } from "node:readline";
import { MAX_TIMER_MS } from "../../../lib/max-timer.js";
import { signalGroup } from "./process-group.js";

// What stops the agent must not stop its guard first: the end of stdin does.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => {});

/** Group ids, and whether the work of each ends with the lease. */
const groups = new Map<number, boolean>();
let untilMs = Number.POSITIVE_INFINITY;
let timer: NodeJS.Timeout | undefined;

function kill(which: (endsWithLease: boolean) => boolean): void {
  for (const [group, endsWithLease] of groups) if (which(endsWithLease)) signalGroup(group, "SIGKILL");
}

/** Again and again until the agent has noticed: what a group starts meanwhile goes too. */
function look(): void {
  const leftMs = untilMs - Number(hrtime.bigint()) / 1e6;
  if (leftMs <= 0) kill((endsWithLease) => endsWithLease);
  clearTimeout(timer);
  if (untilMs < Number.POSITIVE_INFINITY && groups.size > 0) timer = setTimeout(look, Math.min(Math.max(leftMs, 20), MAX_TIMER_MS));
}

createInterface({ input: process.stdin })
  .on("line", (line) => {
    const [what = "", value = "", kind = ""] = line.split(" ");
    if (what === "+") groups.set(Number(value), kind === "once");
    else if (what === "-") groups.delete(Number(value));
    else if (what === "until") untilMs = Number(value);
    look();
  })
  .on("close", () => {
    kill(() => true);
    process.exit(0);
  });
