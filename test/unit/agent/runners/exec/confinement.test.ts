// Commands under another account and within limits, with real processes. Another account needs root; limits do not.
import { spawn, spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { getPriority, tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "@jest/globals";
import { findAccount, type RunAs } from "../../../../../src/agent/runners/exec/account.js";
import { asAccount, Confinement } from "../../../../../src/agent/runners/exec/confinement.js";
import { groupRuns } from "../../../../../src/agent/runners/exec/process-group.js";
import { makePrivateDirectory, removePrivateDirectory } from "../../../../../src/agent/runners/exec/private-directory.js";
import { limitReached, NO_LIMITS, prlimitOptions, type ResourceLimits } from "../../../../../src/agent/runners/exec/resource-limits.js";
import { ExecRunner, type ExecCommand } from "../../../../../src/agent/runners/exec.js";
import { createRunners } from "../../../../../src/agent/runners/index.js";
import type { Job, JobOutcome } from "../../../../../src/agent/runners/runner.js";
import { testWith } from "../../probes/requirement.js";
import { aJob, NO_GUARD, RecordingSink } from "../fixtures.js";
import { eventually } from "../../../eventually.js";

const isLinux = process.platform === "linux";
const isRoot = isLinux && process.geteuid?.() === 0;
const onLinux = testWith(isLinux, "commands are confined on Linux only");
const asRoot = testWith(isRoot, "only root may start commands under another account");

const NOBODY: RunAs = { user: "nobody", group: "", umask: 0o077 };
const never = new AbortController().signal;
// Open for others to walk through, as /tmp is.
const scratch = mkdtempSync(join(tmpdir(), "confinement-test-"));
chmodSync(scratch, 0o755);
const parent = join(scratch, "tmp");
mkdirSync(parent);
chmodSync(parent, 0o1777);
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const AGENT_ENV = { PATH: process.env["PATH"] ?? "", HOME: "/root", LANG: "C.UTF-8", TMPDIR: parent, AGENT_SECRET: "the agent's own" };

function runnerOf(argv: [string, ...string[]], runAs: RunAs | null, limits: Partial<ResourceLimits> = {}, options: Partial<ExecCommand> = {}): ExecRunner {
  const command = { name: "m", argv, types: [], cwd: "", env: {}, gpuIds: [], killGraceMs: 10_000, maxOutputBytes: 1 << 20, ...options };
  return new ExecRunner(command, AGENT_ENV, NO_GUARD, new Confinement(runAs, { ...NO_LIMITS, ...limits }, parent));
}

async function run(script: string, runAs: RunAs | null, limits: Partial<ResourceLimits> = {}, options: Partial<ExecCommand> = {}, job: Partial<Job> = {}): Promise<JobOutcome> {
  return runnerOf(["/bin/sh", "-c", script], runAs, limits, options).run(aJob(job), new RecordingSink(), { maxResultBytes: 1 << 20 }, never);
}

const textOf = (outcome: JobOutcome): string => Buffer.from(outcome.result).toString("utf8");

async function printed(...args: Parameters<typeof run>): Promise<string> {
  const outcome = await run(...args);
  expect(outcome).toMatchObject({ outcome: "succeeded" });
  return textOf(outcome);
}

/** Whether programs that this process starts get an open file of its. */
function isInherited(fd: string): boolean {
  try {
    const O_CLOEXEC = 0o2000000;
    return (Number.parseInt(/^flags:\s*(\d+)/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "utf8"))?.[1] ?? "0", 8) & O_CLOEXEC) === 0;
  } catch {
    return false;
  }
}

describe("a command under another account", () => {
  asRoot("has that account's ids and groups everywhere, none of root's, no capabilities, and no way to get any back", async () => {
    // Groups that an agent may have, and its commands shall not.
    const groups = process.getgroups?.() ?? [];
    process.setgroups?.([0, 4, 54_321]);
    const status = await printed("cat /proc/self/status", NOBODY).finally(() => process.setgroups?.(groups));
    const field = (name: string): string | undefined => new RegExp(`^${name}:[ \\t]*(.*?)[ \\t]*$`, "m").exec(status)?.[1];
    expect(field("Uid")).toBe("65534\t65534\t65534\t65534");
    expect(field("Gid")?.split("\t")).toEqual(Array(4).fill(`${findAccount(NOBODY).gid}`));
    expect(field("Groups")).toBe("");
    for (const set of ["CapInh", "CapPrm", "CapEff", "CapAmb"]) expect([set, field(set)]).toEqual([set, "0000000000000000"]);
    expect(field("NoNewPrivs")).toBe("1");
  });

  asRoot("is in the supplementary groups that it should be in, and in another group of its own where that is configured", async () => {
    const [uid, gid] = (await printed("id -u; id -g", { ...NOBODY, group: "daemon" })).trim().split("\n");
    expect([uid, gid]).toEqual(["65534", `${findAccount({ ...NOBODY, group: "daemon" }).gid}`]);
    // Without an entry in the list of users there is nothing to look up.
    expect((await printed("id -u; id -G", { user: "54321", group: "54322", umask: 0o077 })).trim().split("\n")).toEqual(["54321", "54322"]);
    const account = { ...findAccount(NOBODY), groups: [54_323, 54_324] };
    const [setpriv = "", ...options] = asAccount(account);
    expect(spawnSync(setpriv, [...options, "id", "-G"], { encoding: "utf8" }).stdout).toBe(`${account.gid} 54323 54324\n`);
    const directory = await makePrivateDirectory(parent, account);
    expect(readdirSync(parent)).toHaveLength(1);
    await removePrivateDirectory(directory, account);
    expect(readdirSync(parent)).toEqual([]);
  });

  asRoot("cannot read what is the agent's: its key, its environment, its memory; nor signal it", async () => {
    const key = join(scratch, "agent.key");
    writeFileSync(key, "gr_secret", { mode: 0o600 });
    const agent = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"], { env: { AGENT_SECRET: "the agent's own" }, stdio: "ignore" });
    try {
      await eventually(() => readFileSync(`/proc/${agent.pid}/environ`, "utf8").includes("AGENT_SECRET"), "its environment");
      for (const attempt of [`cat ${key}`, `cat /proc/${agent.pid}/environ`, `cat /proc/${agent.pid}/mem`, `ls /proc/${agent.pid}/fd`, `kill -TERM ${agent.pid}`]) {
        const outcome = await run(attempt, NOBODY);
        expect([attempt, outcome.outcome, textOf(outcome)]).toEqual([attempt, "failed", ""]);
      }
      // The same without another account finds it all: the test can fail.
      expect(textOf(await run(`cat ${key}; cat /proc/${agent.pid}/environ`, null))).toMatch(/gr_secret[^]*AGENT_SECRET/);
    } finally {
      agent.kill("SIGKILL");
    }
  });

  asRoot("sees an environment of its own, whatever is in its variables, and three open files", async () => {
    const odd = { ODD: 'a "b" $(touch /tmp/pwned) `c`\nd\\', EMPTY: "", GREETING: "hällo; exit 3", i: "9", n: "0", IFS: "x", LD_LIBRARY_PATH: "/nowhere" };
    const script = 'process.stdout.write(JSON.stringify({ env: process.env, fds: require("fs").readdirSync("/proc/self/fd").length, cwd: process.cwd() }))';
    const runner = runnerOf([process.execPath, "-e", script], NOBODY, {}, { env: odd });
    const { env, cwd } = JSON.parse(textOf(await runner.run(aJob({ gpuIds: ["GPU-7"] }), new RecordingSink(), { maxResultBytes: 1 << 20 }, never))) as { env: Record<string, string>; cwd: string };
    expect(env).toMatchObject({ ...odd, USER: "nobody", LOGNAME: "nobody", LANG: "C.UTF-8", TMPDIR: cwd, CUDA_VISIBLE_DEVICES: "GPU-7", PATH: "/usr/local/bin:/usr/bin:/bin" });
    expect(env["HOME"]).not.toBe("/root");
    expect(Object.keys(env).filter((name) => /^(AGENT|GPU_ROUTER_(ENV|LEFT|PAIR))/.test(name))).toEqual([]);
    // And the one by which ls reads, and what this process was itself given by whoever started it. It has opened many of its own.
    const given = readdirSync("/proc/self/fd").filter((fd) => Number(fd) > 2 && isInherited(fd));
    const open = (await printed("ls /proc/self/fd", NOBODY)).trim().split("\n");
    expect(open.filter((fd) => !given.includes(fd))).toEqual(["0", "1", "2", "3"]);
    expect(readdirSync("/proc/self/fd").length).toBeGreaterThan(given.length + 8);
  });

  asRoot("works in a directory that is its own and nobody else's, which goes afterwards with all that is in it, links followed nowhere", async () => {
    const precious = join(scratch, "precious");
    mkdirSync(precious);
    writeFileSync(join(precious, "file"), "x");
    const outcome = await printed(`stat -c '%U %a' .; touch f; stat -c '%a' f; mkdir -p a/b; touch a/b/c; chmod 000 a/b; ln -s ${precious} link; cat`, NOBODY, {}, {}, { payload: Buffer.from("pay\0load") });
    expect(outcome).toBe("nobody 700\n600\npay\0load");
    expect(readdirSync(parent)).toEqual([]);
    expect(readdirSync(precious)).toEqual(["file"]);
    expect(await printed("touch f; stat -c '%a' f", { ...NOBODY, umask: 0o027 })).toBe("640\n");
  });

  asRoot("gives its result in a file of its own, and nobody else's", async () => {
    expect(await printed('printf done > "$GPU_ROUTER_RESULT_FILE"', NOBODY)).toBe("done");
    const theirs = join(scratch, "theirs");
    writeFileSync(theirs, "root's", { mode: 0o644 });
    // What a kernel without protected_hardlinks would let a command do: the file of another in the place of its own.
    const { readResultFile } = await import("../../../../../src/agent/runners/exec/result-file.js");
    expect(await readResultFile(theirs, 100, 65_534)).toMatchObject({ kind: "unusable", code: "result_unreadable", message: expect.stringContaining("it belongs to somebody else") });
    symlinkSync(theirs, join(scratch, "link"));
    expect(await readResultFile(join(scratch, "link"), 100, 0)).toMatchObject({ kind: "unusable" });
    expect(await readResultFile(theirs, 100, 0)).toMatchObject({ kind: "read" });
  });

  asRoot("streams its output and ends by a cancel, with its children", async () => {
    const sink = new RecordingSink();
    const abort = new AbortController();
    const ended = runnerOf(["/bin/sh", "-c", "sleep 300 & echo $$ $!; wait"], NOBODY).run(aJob(), sink, { maxResultBytes: 1024 }, abort.signal);
    await sink.until(() => sink.text.includes("\n"));
    const pids = sink.text.trim().split(" ").map(Number);
    for (const pid of pids) expect(readFileSync(`/proc/${pid}/status`, "utf8")).toMatch(/^Uid:\s+65534/m);
    abort.abort();
    expect(await ended).toMatchObject({ outcome: "cancelled" });
    expect(await groupRuns(pids[0]!)).toBe(false);
  });

  asRoot("that cannot be executed by it says so, and another node may try", async () => {
    const file = join(scratch, "program");
    writeFileSync(file, "#!/bin/sh\n", { mode: 0o700 });
    for (const program of [file, "/no/such/program"]) {
      const outcome = await runnerOf([program], NOBODY).run(aJob(), new RecordingSink(), { maxResultBytes: 1024 }, never);
      expect(outcome).toMatchObject({ outcome: "unavailable", code: "spawn_failed", message: expect.stringContaining(program) });
    }
  });

  asRoot("is refused at the start for root, for an unknown user or group, without a group where none is known, and under a folder that it cannot enter", () => {
    const confine = (runAs: Partial<RunAs>, under = parent) => new Confinement({ ...NOBODY, ...runAs }, NO_LIMITS, under);
    for (const user of ["root", "0"]) expect(() => confine({ user })).toThrow("run_as is there to take root away: name another user");
    expect(() => confine({ user: "nobody-at-all" })).toThrow("there is no user nobody-at-all on this machine");
    expect(() => confine({ user: "-x" })).toThrow("there is no user -x on this machine");
    expect(() => confine({ group: "no-such-group" })).toThrow("there is no group no-such-group on this machine");
    expect(() => confine({ user: "54321" })).toThrow("user 54321 is not in this machine's list of users: say its group, too");
    const closed = join(scratch, "closed");
    mkdirSync(closed, { mode: 0o700 });
    expect(() => confine({}, closed)).toThrow(new RegExp(`trying it out under ${closed} failed: .*Permission denied.*TMPDIR of the agent`));
    expect(readdirSync(closed)).toEqual([]);
  });

  onLinux("is refused by an agent that is not root, with what to do", () => {
    if (isRoot) process.seteuid?.(65_534);
    try {
      const command = { name: "train", argv: ["/bin/true"] as [string], types: [], cwd: "", env: {}, gpuIds: [], killGraceMs: 0, maxOutputBytes: 1024, runAs: NOBODY, limits: null };
      const config = { probe: { simulated: { kind: "T4" as const, speed: 1 } }, runners: { openai: [], exec: [command], simulated: null } };
      expect(() => createRunners(config, undefined, { env: AGENT_ENV })).toThrow(
        `runners.exec "train" cannot be run as configured: only root may run it as nobody, and this agent runs under user id ${process.geteuid?.()}. Run the agent as root, or take run_as out.`,
      );
    } finally {
      if (isRoot) process.seteuid?.(0);
    }
  });
});

describe("limits", () => {
  const all: ResourceLimits = { cpuS: 7, memoryMib: 200, addressSpaceMib: 4000, openFiles: 40, processes: 900, fileSizeMib: 2, niceness: 5 };

  test("are given to prlimit as they are meant, and only those that are set", () => {
    expect(prlimitOptions(NO_LIMITS)).toEqual(["--core=0:0"]);
    expect(prlimitOptions(all)).toEqual(["--core=0:0", "--cpu=7:12", "--data=209715200:209715200", "--as=4194304000:4194304000", "--nofile=40:40", "--nproc=900:900", "--fsize=2097152:2097152"]);
  });

  onLinux("hold for the command, without another account, too", async () => {
    const rows = (await printed("cat /proc/self/limits; nice", null, all)).split("\n");
    const row = (name: string): string[] => (rows.find((line) => line.startsWith(name)) ?? "").slice(26).trim().split(/\s+/).slice(0, 2);
    expect(row("Max cpu time")).toEqual(["7", "12"]);
    expect(row("Max data size")).toEqual(["209715200", "209715200"]);
    expect(row("Max address space")).toEqual(["4194304000", "4194304000"]);
    expect(row("Max open files")).toEqual(["40", "40"]);
    expect(row("Max processes")).toEqual(["900", "900"]);
    expect(row("Max file size")).toEqual(["2097152", "2097152"]);
    expect(row("Max core file size")).toEqual(["0", "0"]);
    expect(rows.at(-2)).toBe(`${Math.min(19, getPriority() + 5)}`);
  });

  asRoot("hold under another account, which cannot raise them", async () => {
    expect(await printed("ulimit -Hn; ulimit -Sn; ulimit -n 4096 2>/dev/null || echo refused", NOBODY, all)).toBe("40\n40\nrefused\n");
  });

  onLinux.each([
    ["CPU time", "while :; do :; done", { cpuS: 1 }, "limits.cpu_s is 1"],
    ["CPU time of a child", "(while :; do :; done); exit $?", { cpuS: 1 }, "limits.cpu_s is 1"],
    ["memory", `${process.execPath} -e 'const all = []; for (;;) all.push(Buffer.alloc(1 << 24, 1))'`, { memoryMib: 400 }, "limits.memory_mib is 400"],
    ["open files", `${process.execPath} -e 'const fs = require("fs"); for (;;) fs.openSync("/dev/null")'`, { openFiles: 64 }, "limits.open_files is 64"],
    ["the size of a file", "head -c 3000000 /dev/zero > large", { fileSizeMib: 1 }, "limits.file_size_mib is 1"],
  ] as const)("of %s that is reached is why the attempt failed, and nobody tries it again", async (_, script, limits, words) => {
    expect(await run(script, null, limits)).toMatchObject({ outcome: "failed", code: "limit_exceeded", message: expect.stringContaining(`The command came up against a limit of this node: ${words}`) });
    // Without it the same end is not blamed on it.
    if (!script.includes("for (;;)") && !script.includes("while")) expect(await run(script, null, { ...limits, fileSizeMib: 100 })).toMatchObject({ outcome: "succeeded" });
  });

  asRoot("of processes of a user is why the attempt failed", async () => {
    const user = { user: "54321", group: "54321", umask: 0o077 };
    const outcome = await run("for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 5 & done; wait", user, { processes: 8 });
    expect(outcome).toMatchObject({ outcome: "failed", code: "limit_exceeded", message: expect.stringContaining("limits.processes is 8") });
  });

  test("are not blamed for what was not about them", () => {
    const exited = (exitCode: number) => ({ kind: "exited", exitCode, stopped: false }) as const;
    expect(limitReached(exited(1), "ValueError: bad input", all)).toBe("");
    expect(limitReached(exited(1), "torch.cuda.OutOfMemoryError: CUDA out of memory", all)).toBe("");
    expect(limitReached(exited(1), "OSError: [Errno 24] Too many open files", { ...all, openFiles: 0 })).toBe("");
    expect(limitReached(exited(152), "", NO_LIMITS)).toBe("");
    expect(limitReached({ kind: "signalled", signal: "SIGXCPU", stopped: false }, "", { ...all, cpuS: 0 })).toBe("");
  });

  onLinux("that this machine cannot set are refused at the start", () => {
    expect(() => new Confinement(null, { ...NO_LIMITS, memoryMib: 1, addressSpaceMib: 1 }, parent)).toThrow(/trying it out under .* failed: .*Look at its run_as and limits/s);
  });
});
