// Reads a recording from its file, entry by entry: a file may be larger than memory. What a router that died could not finish writing
// is left out and told; anything else that is not as it was written is an error. Called by the commands.
import { open, type FileHandle } from "node:fs/promises";
import { frameBody, RecordingDecoder } from "./decoder.js";
import { FIRST_LINE, FORMAT } from "./encoder.js";
import { RecordingError, type Ending, type Entry, type RecordingHeader } from "./step.js";

/** Longer than any first line of ours. */
const FIRST_LINE_BYTES = 64;
const LENGTH_BYTES = 4;
/** The header of a router that starts with 100,000 live requests takes a tenth of this. */
const MAX_FRAME_BYTES = 1 << 30;

interface Frame {
  readonly body: Buffer;
  readonly nextOffset: number;
}

export class Recording {
  readonly file: string;
  readonly header: RecordingHeader;
  readonly #entriesOffset: number;
  #ending: Ending | null = null;

  private constructor(file: string, header: RecordingHeader, entriesOffset: number) {
    this.file = file;
    this.header = header;
    this.#entriesOffset = entriesOffset;
  }

  /** Reads the header. Rejects with a RecordingError that names the file. */
  static async open(file: string): Promise<Recording> {
    return withFile(file, async (handle) => {
      const offset = await readFirstLine(handle);
      const frame = await readFrame(handle, offset);
      if (frame === "end" || frame === "torn") throw new RecordingError("it ends within its header: the router that wrote it did not get further");
      return new Recording(file, new RecordingDecoder().header(frame.body), frame.nextOffset);
    });
  }

  /** How it ends; known once all entries have been read. */
  get ending(): Ending {
    if (!this.#ending) throw new Error("Invariant broken: a recording's end is asked for before it was read to it");
    return this.#ending;
  }

  /** All entries, from the first each time. Rejects with a RecordingError. */
  async *entries(): AsyncGenerator<Entry> {
    const decoder = new RecordingDecoder();
    const handle = await openFile(this.file);
    try {
      let offset = this.#entriesOffset;
      for (;;) {
        const frame = await readFrame(handle, offset);
        if (frame === "end" || frame === "torn") {
          this.#ending = decoder.ending ?? { kind: "cut", droppedBytes: (await handle.stat()).size - offset };
          return;
        }
        yield* decoder.entries(frame.body);
        offset = frame.nextOffset;
      }
    } catch (error) {
      throw named(this.file, error);
    } finally {
      await handle.close();
    }
  }
}

/** Where the first frame begins. */
async function readFirstLine(handle: FileHandle): Promise<number> {
  const line = await readBytes(handle, 0, FIRST_LINE_BYTES);
  const end = line.indexOf("\n");
  const text = line.subarray(0, Math.max(0, end)).toString("latin1");
  if (!text.startsWith(FIRST_LINE)) throw new RecordingError("it is not a recording of gpu-router: make one with `gpu-router serve --record FILE`");
  const format = Number(text.slice(FIRST_LINE.length));
  if (format !== FORMAT) throw new RecordingError(`it has recording format ${text.slice(FIRST_LINE.length)}, this version reads ${FORMAT}: use the version that made it, or a later one`);
  return end + 1;
}

/** "torn" for a last frame that is not whole. Throws for a broken one with others behind it. */
async function readFrame(handle: FileHandle, offset: number): Promise<Frame | "end" | "torn"> {
  const head = await readBytes(handle, offset, LENGTH_BYTES);
  if (head.byteLength === 0) return "end";
  if (head.byteLength < LENGTH_BYTES) return "torn";
  const length = head.readUInt32LE();
  const { size } = await handle.stat();
  const nextOffset = offset + LENGTH_BYTES + length;
  if (nextOffset > size) return "torn";
  const body = length > MAX_FRAME_BYTES ? null : frameBody(await readBytes(handle, offset + LENGTH_BYTES, length));
  if (body) return { body, nextOffset };
  if (nextOffset === size) return "torn";
  throw new RecordingError(`it is damaged at byte ${offset}: its checksum is not that of its bytes`);
}

/** Fewer than asked for at the end of the file. */
async function readBytes(handle: FileHandle, offset: number, length: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(length);
  let done = 0;
  while (done < length) {
    const { bytesRead } = await handle.read(bytes, done, length - done, offset + done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return bytes.subarray(0, done);
}

async function openFile(file: string): Promise<FileHandle> {
  try {
    return await open(file, "r");
  } catch (error) {
    throw named(file, error);
  }
}

async function withFile<T>(file: string, use: (handle: FileHandle) => Promise<T>): Promise<T> {
  const handle = await openFile(file);
  try {
    return await use(handle);
  } catch (error) {
    throw named(file, error);
  } finally {
    await handle.close();
  }
}

function named(file: string, error: unknown): RecordingError {
  const trouble = error instanceof Error ? error.message : String(error);
  return new RecordingError(trouble.includes(file) ? trouble : `${file} cannot be read: ${trouble}`, { cause: error });
}
