// Lines of a text file, read as a stream: plain or gzip by its first bytes, one line in memory at a time.
import { createReadStream } from "node:fs";
import { open } from "node:fs/promises";
import { pipeline, type Readable } from "node:stream";
import { createGunzip } from "node:zlib";

// No row of a known trace comes near; a file without line ends must not fill the memory. Characters.
const MAX_LINE_LENGTH = 1 << 20;

/** Yields each line without its end (LF or CRLF); a last line needs no end. Throws when the file cannot be read, is cut off, or has a line above 1 Mi characters. */
export async function* readLines(path: string): AsyncGenerator<string, void, undefined> {
  let rest = "";
  const decoder = new TextDecoder();
  for await (const chunk of await openText(path)) {
    const parts = (rest + decoder.decode(chunk as Uint8Array, { stream: true })).split("\n");
    rest = parts.pop() ?? "";
    if (rest.length > MAX_LINE_LENGTH) throw new Error(`it has a line of more than ${MAX_LINE_LENGTH} characters`);
    for (const line of parts) yield line.endsWith("\r") ? line.slice(0, -1) : line;
  }
  rest += decoder.decode();
  if (rest !== "") yield rest.endsWith("\r") ? rest.slice(0, -1) : rest;
}

async function openText(path: string): Promise<Readable> {
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
