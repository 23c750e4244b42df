// Makes a clone runnable, then runs `node <arguments>` in its place: installs what the lock file says when node_modules
// differs from it, builds dist/ when it is older than its sources. Behind `npm start`, `npm test` and the like.
// Plain Node, no dependency: it runs before any exists. Nothing to do costs about 0.1 s.
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, utimesSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

const windows = process.platform === "win32";
const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
process.chdir(root);

const [major, minor] = process.versions.node.split(".").map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  console.error(`gpu-router needs Node 20.19 or later; this is ${process.versions.node}.`);
  process.exit(1);
}
install();
build();
runInPlace(process.argv.slice(2));

/**
 * Development dependencies too: the compiler is one of them. Not `npm ci`: it fails where the lock file leaves out an optional
 * package of another platform, as it does when the registry it was made with had none. `--no-save` leaves the lock file alone.
 */
function install() {
  if (installed()) return;
  step("installing dependencies (first start, about a minute)", "npm", ["install", "--no-save", "--include=dev", "--no-audit", "--no-fund", "--loglevel=error"]);
}

/** Whether node_modules is what the lock file says. npm keeps its own list in there and writes it last. */
function installed() {
  const list = "node_modules/.package-lock.json";
  if (!existsSync(list)) return false;
  const present = JSON.parse(readFileSync(list, "utf8")).packages ?? {};
  const wanted = JSON.parse(readFileSync("package-lock.json", "utf8")).packages;
  // Optional ones are for other platforms; one that is here must still be the right one.
  return Object.entries(wanted).every(
    ([where, { version, optional }]) => where === "" || (where in present ? present[where].version === version : optional === true),
  );
}

function build() {
  const stamp = "dist/.built";
  const sources = [newest("src"), newest("gen"), ...["tsconfig.json", "tsconfig.build.json", "package-lock.json"].map(modified)];
  if (existsSync(stamp) && modified(stamp) >= Math.max(...sources)) return;
  const startedAt = new Date();
  step("building", process.execPath, ["node_modules/typescript/bin/tsc", "-p", "tsconfig.build.json"]);
  mkdirSync("dist", { recursive: true });
  writeFileSync(stamp, "The time of this file is that of the last build.\n");
  // A source that was saved while the compiler ran is newer than the build.
  utimesSync(stamp, startedAt, startedAt);
}

function modified(file) {
  return statSync(file).mtimeMs;
}

/** Newest modification time below a folder, ms; folders count, for what was deleted or renamed. */
function newest(folder) {
  const entries = readdirSync(folder, { withFileTypes: true, recursive: true });
  return Math.max(modified(folder), ...entries.map((entry) => modified(path.join(entry.parentPath ?? entry.path, entry.name))));
}

/** Runs to the end with its output on stderr; leaves with its status when it fails. */
function step(what, command, args) {
  console.error(`gpu-router: ${what} …`);
  // npm is a script on Windows, which only a shell can start.
  const { status, error } = spawnSync(command, args, { stdio: ["ignore", 2, 2], shell: windows && command === "npm" });
  if (status === 0) return;
  console.error(`gpu-router: ${what} failed${error ? `: ${error.message}` : ""}. Fix what is printed above and run the same command again.`);
  process.exit(status ?? 1);
}

/**
 * One Ctrl-C must reach the child once. A terminal sends it to the whole process group, npm sends it on once more, and
 * `kill` reaches this process alone. So the child gets a group of its own, and what arrives here is passed on to it,
 * repeats within an instant left out. On Windows the console tells everybody, and there is nothing to pass on.
 */
function runInPlace(args) {
  const child = spawn(process.execPath, args, { stdio: "inherit", detached: !windows });
  const SAME_PRESS_MS = 250;
  const passedOnAt = new Map();
  const passOn = (signal) => {
    const now = performance.now();
    const again = now - (passedOnAt.get(signal) ?? Number.NEGATIVE_INFINITY) < SAME_PRESS_MS;
    passedOnAt.set(signal, now);
    if (windows || again || child.pid === undefined) return;
    try {
      // To the group, as a terminal would.
      process.kill(signal === "SIGTERM" ? child.pid : -child.pid, signal);
    } catch {
      // It has just ended.
    }
  };
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => passOn(signal));
  child.on("error", (error) => {
    console.error(`gpu-router: cannot start ${args[0]}: ${error.message}`);
    process.exitCode = 1;
  });
  child.on("exit", (code, signal) => {
    process.exitCode = code ?? 128 + (os.constants.signals[signal] ?? 1);
  });
}
