// The guard with real processes: an agent's stand-in that starts two commands, is killed, is stopped, loses its guard.
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";
import { afterEach, describe, expect, test } from "@jest/globals";
import { groupRuns, signalGroup } from "../../../../../src/agent/runners/exec/process-group.js";
import { eventually } from "../../../eventually.js";

/** What is built: the guard is a process of its own. */
const BUILT = pathToFileURL(path.resolve("dist/src/agent/runners/exec/process-guard.js")).href;

/** Starts two commands under a guard: "once" must end with the lease, "any" need not. Each with a child of its own. */
const STAND_IN = `
import { spawn } from "node:child_process";
import { ProcessGuard } from "${BUILT}";
const guard = new ProcessGuard((trouble) => console.log(JSON.stringify({ trouble })));
const command = (endsWithLease) => {
  const { pid } = spawn("/bin/sh", ["-c", "sleep 300 & sleep 300"], { detached: true, stdio: "ignore" });
  guard.add(pid, endsWithLease);
  return pid;
};
const renew = () => guard.leaseUntil(performance.now() + LEASE_MS);
renew();
setInterval(renew, 20);
console.log(JSON.stringify({ once: command(true), any: command(false) }));
`;

interface StandIn {
  readonly process: ChildProcess;
  readonly once: number;
  readonly any: number;
  readonly troubles: string[];
}

const started: StandIn[] = [];
afterEach(() => {
  for (const standIn of started.splice(0)) {
    standIn.process.kill("SIGKILL");
    for (const group of [standIn.once, standIn.any]) signalGroup(group, "SIGKILL");
  }
});

async function startStandIn(leaseMs: number): Promise<StandIn> {
  const child = spawn(process.execPath, ["--input-type=module", "-e", STAND_IN.replace("LEASE_MS", `${leaseMs}`)], { stdio: ["ignore", "pipe", "inherit"] });
  const lines = createInterface({ input: child.stdout });
  const [first] = (await once(lines, "line")) as [string];
  const standIn: StandIn = { process: child, ...(JSON.parse(first) as { once: number; any: number }), troubles: [] };
  lines.on("line", (line) => standIn.troubles.push((JSON.parse(line) as { trouble: string }).trouble));
  started.push(standIn);
  return standIn;
}

/** The process of its guard, once there is one that is not `not`. */
async function guardOf({ process: child }: StandIn, not = 0): Promise<number> {
  const parentOf = (pid: string): number => {
    try {
      const status = readFileSync(`/proc/${pid}/stat`, "latin1");
      return Number(status.slice(status.lastIndexOf(")") + 2).split(" ")[1]);
    } catch {
      return 0;
    }
  };
  let guard = 0;
  await eventually(() => {
    guard = Number(readdirSync("/proc").find((pid) => /^\d+$/.test(pid) && Number(pid) !== not && parentOf(pid) === child.pid && readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("guard-process.js")));
    return guard > 0;
  }, "a guard");
  return guard;
}

const gone = async (group: number): Promise<void> => eventually(async () => !(await groupRuns(group)), `the end of group ${group}`);

describe("ProcessGuard", () => {
  if (process.platform !== "linux") {
    if (process.env["GPU_ROUTER_REQUIRE_ALL"] === "1") test("needs Linux", () => expect(process.platform).toBe("linux"));
    else {
      console.warn("SKIPPED: its process is found in /proc");
      test.skip("ends what a killed agent leaves", () => {});
    }
    return;
  }

  test("ends what a killed agent leaves, the children of its commands included", async () => {
    const standIn = await startStandIn(60_000);
    standIn.process.kill("SIGKILL");
    await gone(standIn.once);
    await gone(standIn.any);
  });

  test("ends, while its agent is stopped past the lease, what must not run twice, and nothing else", async () => {
    const standIn = await startStandIn(500);
    await guardOf(standIn);
    standIn.process.kill("SIGSTOP");
    await gone(standIn.once);
    expect(await groupRuns(standIn.any)).toBe(true);
    standIn.process.kill("SIGKILL");
    await gone(standIn.any);
  });

  test("that is killed itself is started again, knows everything, and both are told", async () => {
    const standIn = await startStandIn(60_000);
    const first = await guardOf(standIn);
    process.kill(first, "SIGKILL");
    await guardOf(standIn, first);
    await eventually(() => standIn.troubles.length === 2, "both words");
    expect(standIn.troubles).toEqual([expect.stringContaining("The guard of the commands has ended (SIGKILL)"), ""]);
    standIn.process.kill("SIGKILL");
    await gone(standIn.once);
    await gone(standIn.any);
  });

  test("outlives what a terminal or a service manager sends to everybody, so that it is there when the agent goes", async () => {
    const standIn = await startStandIn(60_000);
    const guard = await guardOf(standIn);
    // SIGHUP is the last that it learns to ignore; the other two Node handles from the start.
    await eventually(() => /SigCgt:\s+\w*[13579bdf]$/m.test(readFileSync(`/proc/${guard}/status`, "utf8")), "its handlers");
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.kill(guard, signal);
    standIn.process.kill("SIGKILL");
    await gone(standIn.once);
    await gone(standIn.any);
  });
});
