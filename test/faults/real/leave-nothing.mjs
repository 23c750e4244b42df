// Ends and removes whatever a run of these tests has left, however it ended: processes whose command line names the run's folder, mounts
// below it, network namespaces and links with the run's prefix, and the folder itself. Called by main.mjs.
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, rmSync } from "node:fs";

/** Returns what had been left, as words. */
export function leaveNothing(folder, prefix) {
  const left = [];
  for (const pid of processesOf(folder)) {
    left.push(`process ${pid}`);
    attempt(() => process.kill(pid, "SIGKILL"));
  }
  for (const place of linesOf("/proc/mounts").map((line) => line.split(" ")[1] ?? "").filter((mount) => mount.startsWith(`${folder}/`))) {
    left.push(`mount ${place}`);
    attempt(() => execFileSync("umount", ["--lazy", place], { stdio: "ignore" }));
  }
  for (const name of namesIn("/run/netns").filter((each) => each.startsWith(prefix))) {
    left.push(`namespace ${name}`);
    attempt(() => execFileSync("ip", ["netns", "delete", name], { stdio: "ignore" }));
  }
  // Its end in a namespace goes with it.
  for (const name of namesIn("/sys/class/net").filter((each) => each.startsWith(prefix))) attempt(() => execFileSync("ip", ["link", "delete", name], { stdio: "ignore" }));
  rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
  return left;
}

function processesOf(folder) {
  return namesIn("/proc")
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter((pid) => linesOf(`/proc/${pid}/cmdline`).join("").includes(folder))
    .map(Number);
}

function namesIn(folder) {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function linesOf(file) {
  try {
    return readFileSync(file, "utf8").split("\n");
  } catch {
    return [];
  }
}

function attempt(act) {
  try {
    act();
  } catch {
    // It has just gone by itself.
  }
}
