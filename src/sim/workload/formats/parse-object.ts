// A line of a JSON Lines file.
import { isRecord } from "./read-json.js";

/** The object on the line; null when it is not one. */
export function parseObject(line: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(line);
    return isRecord(value) ? value : null;
  } catch {
    return null;
  }
}
