// A trace file that is one JSON object: read whole, within a bound.
import { TraceError, unreadable } from "../trace-error.js";
import { openText } from "./open-text.js";

// The largest known one has 2 MB.
const MAX_BYTES = 64 << 20;

/** The object in a file, plain or gzip. Throws a `TraceError` that names the file when it is not one. */
export async function readJson(path: string): Promise<Record<string, unknown>> {
  const text = await readText(path);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new TraceError(`${path}: not JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
  if (!isRecord(value)) throw new TraceError(`${path}: not a JSON object`);
  return value;
}

/** Whether a JSON value is an object with names. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

async function readText(path: string): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  let bytes = 0;
  try {
    for await (const chunk of await openText(path)) {
      bytes += (chunk as Uint8Array).length;
      if (bytes > MAX_BYTES) throw new Error(`it has more than ${MAX_BYTES} bytes`);
      text += decoder.decode(chunk as Uint8Array, { stream: true });
    }
  } catch (error) {
    throw unreadable(path, error);
  }
  return text + decoder.decode();
}
