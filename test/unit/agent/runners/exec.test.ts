// The exec runner with real processes.
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, describe, expect, test } from "@jest/globals";
import type { Guard } from "../../../../src/agent/runners/exec/process-guard.js";
import { ExecRunner, type ExecCommand } from "../../../../src/agent/runners/exec.js";
import { STOP_AT_ONCE, type JobOutcome } from "../../../../src/agent/runners/runner.js";
import { aJob, NO_GUARD, RecordingSink } from "./fixtures.js";
import { eventually } from "../../eventually.js";

const LIMITS = { maxResultBytes: 1 << 20 };
const never = new AbortController().signal;
const scratch = mkdtempSync(join(tmpdir(), "exec-test-"));
const runners: ExecRunner[] = [];

afterEach(async () => {
  await Promise.all(runners.splice(0).map((runner) => runner.close()));
});
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

function command(argv: [string, ...string[]], options: Partial<ExecCommand> = {}, agentEnv: NodeJS.ProcessEnv = process.env): ExecRunner {
  const runner = new ExecRunner(
    { name: "m", argv, types: ["training"], cwd: "", env: {}, gpuIds: ["GPU-1"], killGraceMs: 10_000, maxOutputBytes: 1 << 20, ...options },
    agentEnv,
    NO_GUARD,
  );
  runners.push(runner);
  return runner;
}

const sh = (script: string, options: Partial<ExecCommand> = {}): ExecRunner => command(["/bin/sh", "-c", script], options);
const node = (script: string, options: Partial<ExecCommand> = {}): ExecRunner => command([process.execPath, "-e", script], options);
const textOf = (outcome: JobOutcome): string => Buffer.from(outcome.result).toString("utf8");

/** Whether a process still runs; a zombie that nobody has reaped yet does not. */
function runs(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}

describe("a command", () => {
  test("serves its own name, for its types, on its GPUs", () => {
    expect(sh("true").describe()).toEqual({ models: ["m"], types: ["training"], gpuIds: ["GPU-1"] });
  });

  test("gets the payload on stdin and gives its stdout as the result", async () => {
    const sink = new RecordingSink();
    const outcome = await sh("cat; echo to stderr >&2").run(aJob({ payload: Buffer.from("pay\0load") }), sink, LIMITS, never);
    expect(outcome).toMatchObject({ outcome: "succeeded", contentType: "text/plain; charset=utf-8", statistics: { inputTokens: 0, peakMemoryMib: 0 } });
    expect(textOf(outcome)).toBe("pay\0load");
    expect(outcome.statistics.firstOutputMs).toBeGreaterThan(0);
    expect(outcome.statistics.runMs).toBeGreaterThanOrEqual(outcome.statistics.firstOutputMs);
    expect(sink.starts).toBe(1);
    expect(sink.text).toContain("to stderr\n");
  });

  test("may end without reading a large payload", async () => {
    expect(await sh("exec <&-; echo done").run(aJob({ payload: new Uint8Array(4 << 20) }), new RecordingSink(), LIMITS, never)).toMatchObject({ outcome: "succeeded" });
  });

  test("never sees a word of the request among its arguments, and no shell reads one", async () => {
    const evil = "$(touch pwned); --flag";
    const outcome = await command(["/bin/sh", "-c", 'echo "$0|$*"', "name", "fixed"]).run(
      aJob({ requestId: evil, userId: evil, type: evil, payload: Buffer.from(evil) }),
      new RecordingSink(),
      LIMITS,
      never,
    );
    expect(textOf(outcome)).toBe("name|fixed\n");
  });

  test("of another name is not run", async () => {
    expect(await sh("true").run(aJob({ modelId: "/bin/sh" }), new RecordingSink(), LIMITS, never)).toMatchObject({ outcome: "unavailable", code: "unknown_command" });
  });

  test("sees its GPUs, its attempt, what the operator listed, and nothing else of the agent", async () => {
    const agentEnv = { PATH: process.env["PATH"], HOME: "/home/agent", LANG: "C.UTF-8", VLLM_API_KEY: "secret", LD_PRELOAD: "", NODE_OPTIONS: "--no-warnings" };
    const runner = command([process.execPath, "-p", "JSON.stringify(process.env)"], { env: { LISTED: "yes", HOME: "/srv/home" } }, agentEnv);
    const outcome = await runner.run(aJob({ requestId: "r-7", attempt: 3, continues: true, gpuIds: ["MIG-0001", "MIG-0002"] }), new RecordingSink(), LIMITS, never);
    const seen = JSON.parse(textOf(outcome)) as Record<string, string>;
    const directory = seen["TMPDIR"] ?? "";
    expect(seen).toEqual({
      PATH: agentEnv.PATH,
      HOME: "/srv/home",
      LANG: "C.UTF-8",
      LISTED: "yes",
      TMPDIR: expect.stringContaining("gpu-router-exec-"),
      CUDA_VISIBLE_DEVICES: "MIG-0001,MIG-0002",
      CUDA_DEVICE_ORDER: "PCI_BUS_ID",
      GPU_ROUTER_REQUEST_ID: "r-7",
      GPU_ROUTER_ATTEMPT: "3",
      GPU_ROUTER_CONTINUES: "1",
      GPU_ROUTER_MODEL_ID: "m",
      GPU_ROUTER_GPU_ID: "MIG-0001",
      GPU_ROUTER_GPU_IDS: "MIG-0001,MIG-0002",
      GPU_ROUTER_RESULT_FILE: join(directory, "gpu-router-result"),
    });
    expect(existsSync(directory)).toBe(false);
  });

  test("runs where the operator said, else in its private directory, which only the agent's user may enter", async () => {
    expect(textOf(await sh("pwd", { cwd: scratch }).run(aJob(), new RecordingSink(), LIMITS, never))).toBe(`${scratch}\n`);
    expect(textOf(await sh('test "$PWD" = "$TMPDIR" && stat -c %a .').run(aJob(), new RecordingSink(), LIMITS, never))).toBe("700\n");
  });
});

describe("the result", () => {
  test("is the result file, byte for byte, when the command writes one", async () => {
    const outcome = await sh("echo log; printf '\\000\\377' > \"$GPU_ROUTER_RESULT_FILE\"").run(aJob(), new RecordingSink(), LIMITS, never);
    expect(outcome).toMatchObject({ outcome: "succeeded", contentType: "application/octet-stream" });
    expect([...outcome.result]).toEqual([0, 255]);
  });

  test("is too large beyond the limit, and exactly at the limit it is not", async () => {
    const limits = { maxResultBytes: 1000 };
    const write = (bytes: number): ExecRunner => sh(`head -c ${bytes} /dev/zero > "$GPU_ROUTER_RESULT_FILE"`);
    expect((await write(1000).run(aJob(), new RecordingSink(), limits, never)).result.length).toBe(1000);
    const outcome = await write(1001).run(aJob(), new RecordingSink(), limits, never);
    expect(outcome).toMatchObject({ outcome: "failed", code: "result_too_large", message: expect.stringContaining("1001 bytes") });
  });

  test.each([
    ["a link", 'ln -s /etc/passwd "$GPU_ROUTER_RESULT_FILE"'],
    ["a pipe", 'mkfifo "$GPU_ROUTER_RESULT_FILE"'],
    ["a directory", 'mkdir "$GPU_ROUTER_RESULT_FILE"'],
  ])("cannot be %s", async (_, script) => {
    const outcome = await sh(script).run(aJob(), new RecordingSink(), LIMITS, never);
    expect(outcome).toMatchObject({ outcome: "failed", code: "result_unreadable" });
    expect(textOf(outcome)).not.toContain("root");
  });

  test("is the end of stdout when there is much of it, and live output is bounded and says so", async () => {
    const sink = new RecordingSink();
    const script = "for (let i = 0; i < 200000; i += 1) process.stdout.write(`line ${i}\\n`)";
    const outcome = await node(script, { maxOutputBytes: 100_000 }).run(aJob(), sink, LIMITS, never);
    expect(outcome).toMatchObject({ outcome: "succeeded" });
    expect(outcome.result.length).toBe(100_000);
    expect(textOf(outcome).endsWith("line 199998\nline 199999\n")).toBe(true);
    expect(sink.text.startsWith("line 0\nline 1\n")).toBe(true);
    expect(sink.text).toContain("max_output_bytes (100000) is used up");
    expect(sink.text.length).toBeLessThan(100_200);
    expect(Math.max(...sink.outputs.map(({ length }) => length))).toBeLessThanOrEqual(65_536);
  });

  test("from stdout is never larger than the router takes", async () => {
    expect((await sh("head -c 5000 /dev/zero").run(aJob(), new RecordingSink(), { maxResultBytes: 1000 }, never)).result.length).toBe(1000);
  });
});

describe("progress", () => {
  test("lines go to the sink as progress and are neither output nor result", async () => {
    const sink = new RecordingSink();
    const outcome = await sh(`echo a; echo '::progress 0.5 epoch 1'; echo '{"progress": 0.75}'; echo b; printf '::progress 1 done'`).run(aJob(), sink, LIMITS, never);
    expect(sink.progresses).toEqual([[0.5, "epoch 1"], [0.75, ""], [1, "done"]]);
    expect(sink.text).toBe("a\nb\n");
    expect(textOf(outcome)).toBe("a\nb\n");
  });
});

describe("an end without success", () => {
  test("an exit code fails, with the end of stderr", async () => {
    const outcome = await sh("echo partial; head -c 9000 /dev/zero | tr '\\0' x >&2; echo ' the reason' >&2; exit 3").run(aJob(), new RecordingSink(), LIMITS, never);
    expect(outcome).toMatchObject({ outcome: "failed", code: "exit_code", exitCode: 3, message: expect.stringMatching(/exit code 3\. .*x the reason$/) });
    expect(textOf(outcome)).toBe("partial\n");
    if (outcome.outcome === "failed") expect(outcome.message.length).toBeLessThan(2200);
  });

  test("an exit code after which stderr blames the GPU may succeed elsewhere, and is the GPU's fault", async () => {
    const outcome = await sh("echo 'RuntimeError: CUDA error: uncorrectable ECC error encountered' >&2; exit 1").run(aJob(), new RecordingSink(), LIMITS, never);
    expect(outcome).toMatchObject({ outcome: "unavailable", code: "gpu_fault", fault: "gpu", exitCode: 1, message: expect.stringContaining("uncorrectable ECC error") });
    const own = await sh("echo 'CUDA error: an illegal memory access was encountered' >&2; exit 1").run(aJob(), new RecordingSink(), LIMITS, never);
    expect(own).toMatchObject({ outcome: "failed", code: "exit_code" });
    const well = await sh("echo 'recovered from: GPU is lost' >&2").run(aJob(), new RecordingSink(), LIMITS, never);
    expect(well).toMatchObject({ outcome: "succeeded" });
  });

  test("a signal that the agent did not send is the node's fault", async () => {
    expect(await sh("kill -KILL $$").run(aJob(), new RecordingSink(), LIMITS, never)).toMatchObject({ outcome: "unavailable", code: "killed", message: expect.stringContaining("SIGKILL") });
  });

  test("a signal after the lease is the guard's: work that must not run twice was fenced, other work was not", async () => {
    const told: unknown[] = [];
    const guard: Guard = { ...NO_GUARD, add: (_group, endsWithLease) => told.push(endsWithLease), remove: () => told.push("removed"), leaseIsOut: true };
    const runner = new ExecRunner({ name: "m", argv: ["/bin/sh", "-c", "kill -KILL $$"], types: [], cwd: "", env: {}, gpuIds: [], killGraceMs: 0, maxOutputBytes: 1024 }, process.env, guard);
    expect(await runner.run(aJob({ mustNotRunTwice: true }), new RecordingSink(), LIMITS, never)).toMatchObject({ outcome: "fenced", code: "lease_out" });
    expect(await runner.run(aJob(), new RecordingSink(), LIMITS, never)).toMatchObject({ outcome: "unavailable", code: "killed" });
    expect(told).toEqual([true, "removed", false, "removed"]);
  });

  test("a program that is not there is named with the PATH, and nothing started", async () => {
    const sink = new RecordingSink();
    const outcome = await command(["no-such-program"], {}, { PATH: "/nowhere" }).run(aJob(), sink, LIMITS, never);
    expect(outcome).toMatchObject({ outcome: "unavailable", code: "spawn_failed", message: expect.stringContaining("no-such-program (PATH is /nowhere)") });
    expect(sink.starts).toBe(0);
  });

  test("a program that may not be executed is named", async () => {
    const file = join(scratch, "not-executable");
    writeFileSync(file, "#!/bin/sh\n", { mode: 0o644 });
    expect(await command([file]).run(aJob(), new RecordingSink(), LIMITS, never)).toMatchObject({ outcome: "unavailable", code: "spawn_failed", message: expect.stringContaining(`may not execute ${file}`) });
  });

  test("a working directory that is not there is named, not the program", async () => {
    const outcome = await sh("true", { cwd: "/no/such/directory" }).run(aJob(), new RecordingSink(), LIMITS, never);
    expect(outcome).toMatchObject({ outcome: "unavailable", code: "spawn_failed", message: expect.stringContaining("/no/such/directory does not exist") });
  });

  test("an id that no environment can hold fails", async () => {
    expect(await sh("true").run(aJob({ requestId: "a\0b" }), new RecordingSink(), LIMITS, never)).toMatchObject({ outcome: "failed", code: "spawn_failed" });
  });
});

describe("stopping", () => {
  /** A shell with a child and a grandchild; prints the three pids. `trap` is what all three do about SIGTERM. */
  const family = (trap: string): string => `${trap} echo $$; sh -c '${trap} echo $$; sh -c "${trap} echo \\$\\$; while :; do sleep 0.05; done" & wait' & wait; while :; do sleep 0.05; done`;

  async function startFamily(trap: string, options: Partial<ExecCommand>): Promise<{ runner: ExecRunner; pids: number[]; abort: AbortController; ended: Promise<JobOutcome> }> {
    const abort = new AbortController();
    const sink = new RecordingSink();
    const runner = sh(family(trap), options);
    const ended = runner.run(aJob(), sink, LIMITS, abort.signal);
    const lines = (): string[] => sink.text.split("\n").slice(0, -1);
    await sink.until(() => lines().length === 3);
    const pids = lines().map(Number);
    expect(pids.every(runs)).toBe(true);
    return { runner, pids, abort, ended };
  }

  test("a cancel ends the whole tree, and it is over only when all are gone", async () => {
    const { pids, abort, ended } = await startFamily("", {});
    abort.abort();
    expect(await ended).toMatchObject({ outcome: "cancelled", code: "cancelled", message: expect.stringContaining("SIGTERM") });
    expect(pids.filter(runs)).toEqual([]);
  });

  test("a tree that ignores SIGTERM is killed after the grace, not before", async () => {
    const { pids, abort, ended } = await startFamily("trap : TERM;", { killGraceMs: 300 });
    const abortedAt = performance.now();
    abort.abort();
    expect(await ended).toMatchObject({ outcome: "cancelled", message: expect.stringContaining("SIGKILL") });
    expect(performance.now() - abortedAt).toBeGreaterThanOrEqual(295);
    expect(pids.filter(runs)).toEqual([]);
  });

  test("an agent whose lease has run out leaves no grace", async () => {
    const { pids, abort, ended } = await startFamily("trap : TERM;", { killGraceMs: 600_000 });
    abort.abort(STOP_AT_ONCE);
    expect(await ended).toMatchObject({ outcome: "cancelled", message: expect.stringContaining("SIGKILL") });
    expect(pids.filter(runs)).toEqual([]);
  });

  test("a command that saves its state on SIGTERM and ends well is cancelled, not done", async () => {
    const abort = new AbortController();
    const sink = new RecordingSink();
    const ended = sh("trap 'echo saved; exit 0' TERM; echo ready; while :; do sleep 0.05; done").run(aJob(), sink, LIMITS, abort.signal);
    await sink.until(() => sink.text.includes("ready"));
    abort.abort();
    const outcome = await ended;
    expect(outcome).toMatchObject({ outcome: "cancelled" });
    expect(textOf(outcome)).toBe("ready\nsaved\n");
  });

  test("a cancel before or during the start leaves nothing behind", async () => {
    expect(await sh("sleep 60").run(aJob(), new RecordingSink(), LIMITS, AbortSignal.abort())).toMatchObject({ outcome: "cancelled" });
    const abort = new AbortController();
    const sink = new RecordingSink();
    const ended = sh("sleep 60").run(aJob(), sink, LIMITS, abort.signal);
    abort.abort();
    expect(await ended).toMatchObject({ outcome: "cancelled" });
    const inSpawn = new AbortController();
    const starting = sh("sleep 60").run(aJob(), { started: () => inSpawn.abort(), progress: () => {}, output: () => {} }, LIMITS, inSpawn.signal);
    expect(await starting).toMatchObject({ outcome: "cancelled" });
  });

  test("what a command leaves running is ended with it", async () => {
    const sink = new RecordingSink();
    const outcome = await sh("sleep 60 & echo $!").run(aJob(), sink, LIMITS, never);
    expect(outcome).toMatchObject({ outcome: "succeeded" });
    expect(runs(Number(sink.text))).toBe(false);
  });

  test("what is about to end after its leader may finish its words", async () => {
    const outcome = await sh("(sleep 0.1; echo last words) & echo first").run(aJob(), new RecordingSink(), LIMITS, never);
    expect(textOf(outcome)).toBe("first\nlast words\n");
  });

  test("close ends every run as unavailable and takes no more", async () => {
    const { runner, pids, ended } = await startFamily("", {});
    await runner.close();
    expect(pids.filter(runs)).toEqual([]);
    expect(await ended).toMatchObject({ outcome: "unavailable", code: "runner_closed" });
    expect(await runner.run(aJob(), new RecordingSink(), LIMITS, never)).toMatchObject({ outcome: "unavailable", code: "runner_closed" });
  });

  test("a process that left the group is heard for a moment", async () => {
    const script = `require("node:child_process").spawn("sh", ["-c", "sleep 0.2; echo late"], { detached: true, stdio: "inherit" }).unref()`;
    expect(textOf(await node(script).run(aJob(), new RecordingSink(), LIMITS, never))).toBe("late\n");
  });

  test("a process that left the group does not hold the end up, though it holds the pipes", async () => {
    const sink = new RecordingSink();
    const outcome = await node(`
      const { spawn } = require("node:child_process");
      const child = spawn("sleep", ["30"], { detached: true, stdio: "inherit" });
      child.unref();
      console.log(child.pid);
    `).run(aJob(), sink, LIMITS, never);
    const escaped = Number(sink.text);
    try {
      expect(outcome).toMatchObject({ outcome: "succeeded" });
      expect(runs(escaped)).toBe(true);
    } finally {
      process.kill(escaped, "SIGKILL");
    }
    await eventually(() => !runs(escaped), "the end of what escaped");
  });
});

test("private directories are gone after every kind of end, and without room for one nothing starts", async () => {
  const parent = mkdtempSync(join(scratch, "parent-"));
  const env = { ...process.env, TMPDIR: parent };
  let during = 0;
  const sink = { started: () => (during += readdirSync(parent).length), progress: () => {}, output: () => {} };
  for (const script of ["mkdir -p a/b; touch a/b/c", "exit 1", "kill -KILL $$"]) await command(["/bin/sh", "-c", script], {}, env).run(aJob(), sink, LIMITS, never);
  await command(["/no/such/program"], {}, env).run(aJob(), sink, LIMITS, never);
  expect(during).toBe(3);
  expect(readdirSync(parent)).toEqual([]);
  rmSync(parent, { recursive: true });
  expect(await command(["/bin/true"], {}, env).run(aJob(), sink, LIMITS, never)).toMatchObject({ outcome: "unavailable", code: "spawn_failed", message: expect.stringContaining(parent) });
});
