// Whether anything of a process group still runs. Called by `process-tree.ts`.
import { readdir, readFile } from "node:fs/promises";

/** Sends `signal` to every process of the group; false when there is none. 0 only asks, and zombies count. */
export function signalGroup(groupId: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(-groupId, signal);
  } catch (error) {
    // EPERM: there is somebody, under another user.
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/**
 * Whether a process of the group runs. Zombies do not: in a container whose first process reaps nobody they stay for ever.
 * Costs one look at every process of the machine, but only while the group has any member at all.
 */
export async function groupRuns(groupId: number): Promise<boolean> {
  if (!signalGroup(groupId, 0)) return false;
  if (process.platform !== "linux") return true;
  for (const entry of await readdir("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    const status = await readFile(`/proc/${entry}/stat`, "latin1").catch(() => "");
    // pid (name) state parent group …; the name may hold anything, parentheses too.
    const [state = "", , group] = status.slice(status.lastIndexOf(")") + 2).split(" ", 3);
    if (Number(group) === groupId && state !== "Z" && state !== "X") return true;
  }
  return false;
}
