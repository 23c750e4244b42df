// Makes a fresh clone runnable, then runs `node <arguments>` in its place: installs what the lock file says when
// node_modules does not match it, builds dist/ when a source is newer. Plain Node, no dependency: it runs before any exists.
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
process.chdir(root);

const [major, minor] = process.versions.node.split(".").map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  console.error(`gpu-router needs Node 20.19 or later; this is ${process.versions.node}.`);
  process.exit(1);
}

function run(what, command, args) {
  console.error(`gpu-router: ${what} …`);
  const { status, error } = spawnSync(command, args, { stdio: ["ignore", 2, 2], shell: process.platform === "win32" });
  if (status !== 0) {
    console.error(`gpu-router: ${what} failed${error ? `: ${error.message}` : ""}. Fix what is printed above and run the same command again.`);
    process.exit(status ?? 1);
  }
}

const installStamp = "node_modules/.gpu-router-lock";
const lockHash = createHash("sha256").update(readFileSync("package-lock.json")).digest("hex");
if (!existsSync(installStamp) || readFileSync(installStamp, "utf8") !== lockHash) {
  run("installing dependencies (first start, about a minute)", "npm", ["ci", "--no-audit", "--no-fund", "--loglevel=error"]);
  writeFileSync(installStamp, lockHash);
}

/** Newest modification time below a folder, ms. */
function newest(folder) {
  let latest = 0;
  for (const entry of readdirSync(folder, { withFileTypes: true, recursive: true })) {
    if (entry.isFile()) latest = Math.max(latest, statSync(path.join(entry.parentPath ?? entry.path, entry.name)).mtimeMs);
  }
  return latest;
}
const buildStamp = "dist/.built";
const sourceTime = Math.max(newest("src"), newest("gen"), statSync("tsconfig.json").mtimeMs, statSync("tsconfig.build.json").mtimeMs);
if (!existsSync(buildStamp) || statSync(buildStamp).mtimeMs < sourceTime) {
  const startedAt = new Date();
  run("building", process.execPath, ["node_modules/typescript/bin/tsc", "-p", "tsconfig.build.json"]);
  mkdirSync("dist", { recursive: true });
  writeFileSync(buildStamp, startedAt.toISOString());
}

// Signals reach the child by itself when they come from a terminal; one sent to this process alone is passed on.
const child = spawn(process.execPath, process.argv.slice(2), { stdio: "inherit" });
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
child.on("exit", (code, signal) => {
  process.exitCode = code ?? (signal === "SIGINT" ? 130 : 143);
});
