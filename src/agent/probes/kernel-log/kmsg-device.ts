// Reads the kernel's messages from its device, /dev/kmsg, which needs no program and is there in minimal containers too when it is handed in.
// Opened by kernel-log.ts.
import { closeSync, constants, openSync, readSync } from "node:fs";
import { LineSplitter, type OpenLineSource } from "./line-source.js";

/** How often to look, ms. Node cannot wait for this device, and a look at nothing new is one call that does not block. */
const LOOK_EVERY_MS = 250;
/** Messages that one look takes at most, so that a flood does not hold up the agent. */
const MAX_PER_LOOK = 1_000;
/** One read is one message; the kernel gives none that is longer. */
const MAX_MESSAGE_BYTES = 16_384;

/** Rejects with the error of the system where the device is not there or may not be read. */
export async function openKmsg(file: string, onLine: (line: string) => void): Promise<OpenLineSource> {
  const descriptor = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK);
  const buffer = Buffer.alloc(MAX_MESSAGE_BYTES);
  // The device begins with what was written long ago; only what comes after that is news.
  let skipping = true;
  const lines = new LineSplitter((line) => {
    if (!skipping) onLine(line);
  });
  return await new Promise<OpenLineSource>((resolve, reject) => {
    let end: (reason: string) => void = () => {};
    const ended = new Promise<string>((whenEnded) => {
      end = whenEnded;
    });
    let timer: NodeJS.Timeout | undefined;
    const close = (): void => {
      if (timer === undefined) return;
      clearTimeout(timer);
      timer = undefined;
      closeSync(descriptor);
    };
    const look = (): void => {
      try {
        const more = readUpTo(descriptor, buffer, lines);
        if (!more && skipping) {
          skipping = false;
          resolve({ name: file, ended, close });
        }
        timer = setTimeout(look, more ? 0 : LOOK_EVERY_MS).unref();
      } catch (error) {
        closeSync(descriptor);
        timer = undefined;
        if (skipping) reject(error as Error);
        else end(error instanceof Error ? error.message : String(error));
      }
    };
    look();
  });
}

/** Reads what is there; true when there may be more. Throws when the device cannot be read any more. */
function readUpTo(descriptor: number, buffer: Buffer, lines: LineSplitter): boolean {
  for (let count = 0; count < MAX_PER_LOOK; count += 1) {
    try {
      const length = readSync(descriptor, buffer, 0, MAX_MESSAGE_BYTES, null);
      if (length === 0) return false;
      lines.push(buffer.toString("utf8", 0, length));
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      if (code === "EAGAIN") return false;
      // Messages were overwritten before they were read: the next read goes on with the oldest that is left.
      if (code !== "EPIPE") throw error;
    }
  }
  return true;
}
