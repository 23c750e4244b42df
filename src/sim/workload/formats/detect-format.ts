// Tells by a file's first line which of the two formats of request traces it has. Called by whoever is given a file and not
// told what it is.
import { TraceError, unreadable } from "../trace-error.js";
import { azureCsv } from "./azure-csv.js";
import { mooncakeJsonl } from "./mooncake-jsonl.js";
import { readLines } from "./read-lines.js";
import { isHeading, type TraceFormat } from "./trace-format.js";

/** The format whose first line this is; null when it is neither. */
export function detectFormat(firstLine: string): TraceFormat | null {
  if (isHeading(azureCsv.heading ?? "", firstLine)) return azureCsv;
  return mooncakeJsonl.parse(firstLine.trim()) === null ? null : mooncakeJsonl;
}

/** The format of a file. Throws a `TraceError` when it cannot be read or is neither. */
export async function fileFormat(path: string): Promise<TraceFormat> {
  const line = await readFirstLine(path);
  if (line === null) throw new TraceError(`${path} is empty: give a trace with at least one request`);
  const format = detectFormat(line);
  if (format !== null) return format;
  throw new TraceError(
    `${path} is neither an Azure CSV (first line ${azureCsv.heading}) nor a Mooncake JSONL ` +
      `(lines like {"timestamp":0,"input_length":10,"output_length":5}); its first line is: ${line.slice(0, 60)}${line.length > 60 ? "…" : ""}`,
  );
}

async function readFirstLine(path: string): Promise<string | null> {
  try {
    for await (const line of readLines(path)) if (line.trim() !== "") return line;
  } catch (error) {
    throw unreadable(path, error);
  }
  return null;
}
