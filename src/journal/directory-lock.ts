// One process per data directory. The lock is a listening local socket: the operating system drops it with the process,
// however the process ends, so there is no stale lock to clean up by hand.
import { createHash } from "node:crypto";
import { realpathSync } from "node:fs";
import { rm } from "node:fs/promises";
import net from "node:net";
import path from "node:path";

export interface DirectoryLock {
  release(): Promise<void>;
}

/** Throws with a message that says what to do when another process holds `directory`, which must exist. */
export async function lockDirectory(directory: string): Promise<DirectoryLock> {
  const address = lockAddress(realpathSync(directory));
  const server = net.createServer((socket) => socket.destroy());
  server.unref();
  const held = await listen(server, address).catch(async (error: NodeJS.ErrnoException) => {
    if (error.code !== "EADDRINUSE") throw error;
    // A socket file outlives a killed process; an abstract socket or pipe does not.
    if (!address.startsWith("/") || (await answers(address))) return false;
    await rm(address, { force: true });
    await listen(server, address);
    return true;
  });
  if (held === false) throw new Error(`The data directory ${directory} is in use by another gpu-router process: stop that one, or choose another directory with --data.`);
  return { release: () => new Promise((resolve) => void server.close(() => resolve())) };
}

/** Abstract on Linux, a named pipe on Windows, a socket file elsewhere. */
function lockAddress(directory: string): string {
  const name = createHash("sha256").update(directory).digest("hex").slice(0, 32);
  if (process.platform === "linux") return `\0gpu-router-${name}`;
  if (process.platform === "win32") return `\\\\.\\pipe\\gpu-router-${name}`;
  return path.join(directory, "lock.sock");
}

function listen(server: net.Server, address: string): Promise<true> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(address, () => {
      server.off("error", reject);
      resolve(true);
    });
  });
}

function answers(address: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(address);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}
