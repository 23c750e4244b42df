// A line of a JSON Lines file.
import { isRecord } from "./read-json.js";

// Whole numbers that JSON.parse would round, where a value stands: such are ids, and as text they stay apart.
const LONG_NUMBER = /(?<=[[,:]\s*)-?\d{16,}(?=\s*[,\]}])/g;

/** The object on the line; null when it is not one. Whole numbers of 16 digits and more are given as text. */
export function parseObject(line: string): Record<string, unknown> | null {
  return (/\d{16}/.test(line) ? parsed(line.replaceAll(LONG_NUMBER, '"$&"')) : null) ?? parsed(line);
}

function parsed(line: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(line);
    return isRecord(value) ? value : null;
  } catch {
    return null;
  }
}
