// `npm start` where everything is installed and built: from the command to an answer of /health within 3 s, then one Ctrl-C.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";

const LIMIT_MS = 3_000;
const directory = mkdtempSync(path.join(os.tmpdir(), "gpu-router-start-"));
const beganAtMs = performance.now();
const child = spawn("npm", ["start", "--", "--simulate", "4", "--grpc-port", "0", "--http-port", "0", "--data", path.join(directory, "data")], {
  detached: true,
  stdio: ["ignore", "pipe", "inherit"],
});
const guard = setTimeout(() => process.kill(-child.pid, "SIGKILL"), 60_000);
try {
  let printed = "";
  for await (const data of child.stdout) {
    printed += data;
    const http = /HTTP: +(\S+)/.exec(printed)?.[1];
    if (http === undefined) continue;
    const { status } = await fetch(`${http}/health`);
    const tookMs = Math.round(performance.now() - beganAtMs);
    console.log(`up after ${tookMs} ms, /health says ${status}`);
    process.exitCode = status === 200 && tookMs <= LIMIT_MS ? 0 : 1;
    break;
  }
  if (process.exitCode === undefined) throw new Error(`it ended before it was up: ${printed}`);
  process.kill(-child.pid, "SIGINT");
  if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
} finally {
  clearTimeout(guard);
  rmSync(directory, { recursive: true, force: true });
}
