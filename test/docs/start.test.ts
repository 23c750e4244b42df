// What `npm start` promises beside the README's words: how it ends, and that it finds its way back after changes.
import { afterEach, beforeEach, expect, test } from "@jest/globals";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { ROOT } from "../interop/real-fleet.js";
import { startDaemon } from "./daemon.js";

const STOPPING = "Stopping: finishing what is under way.";

let directory = "";
beforeEach(() => {
  directory = mkdtempSync(path.join(tmpdir(), "gpu-router-start-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const options = (): string[] => ["--simulate", "1", "--grpc-port", "0", "--http-port", "0", "--data", path.join(directory, "data")];

test("one Ctrl-C in a terminal, which reaches npm and all below it, drains; it does not count as two", async () => {
  const daemon = await startDaemon("npm start", options());
  await daemon.ctrlC();
  // A second one would have ended it on the spot.
  expect(daemon.stderr().split(STOPPING)).toHaveLength(2);
  // A clean stop leaves a snapshot; the next start has a higher epoch and takes nothing up again.
  const again = await startDaemon("npm start", options());
  const health = (await (await fetch(`http://${again.http}/health`)).json()) as object;
  await again.ctrlC();
  expect(health).toMatchObject({ epoch: 2, live_requests: 0 });
}, 60_000);

test.each(["SIGTERM", "SIGINT"] as const)("a %s to the outer process alone is passed on", async (signal) => {
  const daemon = await startDaemon("node scripts/bootstrap.mjs dist/src/cli/main.js up", options());
  process.kill(daemon.pid, signal);
  await daemon.ended;
  expect(daemon.stderr().split(STOPPING)).toHaveLength(2);
}, 60_000);

test("the exit code of the program is its own", () => {
  const run = (script: string): number | null => spawnSync(process.execPath, ["scripts/bootstrap.mjs", "-e", script], { cwd: ROOT, stdio: "ignore" }).status;
  expect(run("process.exit(7)")).toBe(7);
  expect(run("process.kill(process.pid, 'SIGTERM'); setInterval(() => {}, 1000)")).toBe(128 + 15);
});

/** A project of one source file, with the compiler of this one. `npm` is a script that says so and fails. */
function tinyProject(): { readonly run: () => { readonly stdout: string; readonly stderr: string; readonly status: number | null }; readonly file: (name: string) => string } {
  const file = (name: string): string => path.join(directory, name);
  for (const folder of ["src", "gen", "scripts", "bin"]) mkdirSync(file(folder));
  cpSync(path.join(ROOT, "scripts/bootstrap.mjs"), file("scripts/bootstrap.mjs"));
  symlinkSync(path.join(ROOT, "node_modules"), file("node_modules"));
  for (const name of ["package.json", "package-lock.json", "tsconfig.json", "tsconfig.build.json"]) cpSync(path.join(ROOT, name), file(name));
  writeFileSync(file("src/main.ts"), 'console.log("first");\n');
  writeFileSync(file("gen/empty.ts"), "export {};\n");
  writeFileSync(file("bin/npm"), '#!/bin/sh\necho "npm $*"; exit 3\n', { mode: 0o755 });
  const env = { ...process.env, PATH: `${file("bin")}${path.delimiter}${process.env["PATH"] ?? ""}` };
  return { file, run: () => spawnSync(process.execPath, ["scripts/bootstrap.mjs", "dist/src/main.js"], { cwd: directory, env, encoding: "utf8" }) };
}

test("it builds when there is no build, when a source is newer, and when dist/ is gone; otherwise it does not", () => {
  const { run, file } = tinyProject();
  expect(run()).toMatchObject({ stdout: "first\n", stderr: expect.stringContaining("building"), status: 0 });
  expect(run()).toMatchObject({ stdout: "first\n", stderr: "", status: 0 });

  const later = new Date(Date.now() + 2_000);
  writeFileSync(file("src/main.ts"), 'console.log("second");\n');
  utimesSync(file("src/main.ts"), later, later);
  expect(run()).toMatchObject({ stdout: "second\n", stderr: expect.stringContaining("building"), status: 0 });

  rmSync(file("dist"), { recursive: true });
  expect(run()).toMatchObject({ stdout: "second\n", status: 0 });
}, 60_000);

test("it installs when node_modules is not what the lock file says, and says what to do when that fails", () => {
  const { run, file } = tinyProject();
  const lock = JSON.parse(readFileSync(file("package-lock.json"), "utf8")) as { packages: Record<string, { version: string }> };
  lock.packages["node_modules/pino"]!.version = "999.0.0";
  writeFileSync(file("package-lock.json"), JSON.stringify(lock));
  const failed = run();
  expect(failed).toMatchObject({ status: 3, stdout: "" });
  expect(failed.stderr).toContain("npm install --no-save --include=dev");
  expect(failed.stderr).toContain("Fix what is printed above and run the same command again.");
  expect(existsSync(file("dist"))).toBe(false);
}, 60_000);

test("a program that ignores the first Ctrl-C gets the second one too", async () => {
  const script = 'let n = 0; process.on("SIGINT", () => { n += 1; console.log(n); if (n === 2) process.exit(5); }); setInterval(() => {}, 1000); console.log("up");';
  const child = spawn(process.execPath, ["scripts/bootstrap.mjs", "-e", script], { cwd: ROOT, stdio: ["ignore", "pipe", "inherit"] });
  const ended = once(child, "exit");
  let printed = "";
  child.stdout.on("data", (data: Buffer) => (printed += data.toString()));
  const says = async (text: string, meanwhile = (): void => {}): Promise<void> => {
    const giveUpAtMs = performance.now() + 15_000;
    while (!printed.includes(text)) {
      if (performance.now() > giveUpAtMs) throw new Error(`it did not say ${text}: ${printed}`);
      meanwhile();
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
  await says("up\n");
  child.kill("SIGINT");
  await says("1\n");
  // Presses within a quarter of a second are one, so press until it is told.
  let pressedAtMs = performance.now();
  await says("2\n", () => {
    if (performance.now() - pressedAtMs < 300) return;
    pressedAtMs = performance.now();
    child.kill("SIGINT");
  });
  expect((await ended)[0]).toBe(5);
});
