// Opens a text file as a stream of bytes: plain, or gzip by its first bytes whatever its name.
import { createReadStream } from "node:fs";
import { open } from "node:fs/promises";
import { pipeline, type Readable } from "node:stream";
import { createGunzip } from "node:zlib";

/** The file's bytes, unpacked. Rejects when it cannot be opened; the stream fails when it is cut off. */
export async function openText(path: string): Promise<Readable> {
  const file = await open(path);
  const start = Buffer.alloc(2);
  let bytesRead: number;
  try {
    ({ bytesRead } = await file.read(start, 0, 2, 0));
  } finally {
    await file.close();
  }
  const source = createReadStream(path);
  const isGzip = bytesRead === 2 && start[0] === 0x1f && start[1] === 0x8b;
  // A failure of either end destroys both; the reader gets it from the last stream.
  return isGzip ? pipeline(source, createGunzip(), () => {}) : source;
}
