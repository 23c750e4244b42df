// A small disk of a test's own, and how to fill it. Needs the right to mount; a test that uses it is declared with `onSmallDisk`.
import { execFileSync } from "node:child_process";
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, unlinkSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterThisTest, temporaryFolder } from "./harness.js";
import { testWith } from "./requirement.js";

/** `test`, where a file system can be mounted. */
export const onSmallDisk = testWith(canMount(), "the right to mount a tmpfs (root on Linux)");

/** A file system of `mib` that goes with the test. */
export async function smallDisk(mib = 4): Promise<string> {
  const folder = path.join(await temporaryFolder(), "disk");
  mkdirSync(folder);
  execFileSync("mount", ["-t", "tmpfs", "-o", `size=${mib}m`, "tmpfs", folder]);
  afterThisTest(() => execFileSync("umount", ["--lazy", folder]));
  return folder;
}

/** Takes all that is left of a disk with a file; returns how to give it back. */
export function fill(folder: string): () => void {
  const file = path.join(folder, "filler");
  const descriptor = openSync(file, "w");
  for (let size = 65_536; size >= 512; ) {
    try {
      writeSync(descriptor, Buffer.alloc(size));
    } catch {
      size /= 2;
    }
  }
  closeSync(descriptor);
  return () => unlinkSync(file);
}

function canMount(): boolean {
  if (process.platform !== "linux" || process.getuid?.() !== 0) return false;
  const folder = mkdtempSync(path.join(tmpdir(), "gpu-router-mount-"));
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], { stdio: "ignore" });
    execFileSync("umount", [folder], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
