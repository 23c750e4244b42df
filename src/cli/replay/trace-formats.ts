// The two public trace formats as rows of time and tokens. Tells them apart by their first line, reads line by line,
// names file and line of what it cannot read. `schedule.ts` decides when a row is sent.
import { readLines } from "./lines.js";
import { CliFailure } from "../failure.js";
import { printable } from "../quantity-text.js";

/** One request of a trace. */
export interface TraceRow {
  /** On the trace's own clock, ms: UTC for Azure, since the start of the trace for Mooncake. */
  readonly atMs: number;
  readonly inputTokens: number;
  readonly outputTokens: number;
}

export interface TraceFormat {
  readonly name: "Azure CSV" | "Mooncake JSONL";
  /** Whether times are on a calendar, so that traces of the same hours line up. */
  readonly calendar: boolean;
  /** Times were rounded down to about this, ms; 0 when they are exact. */
  readonly gridMs: number;
  /** Whether the first line is a heading. */
  readonly heading: boolean;
  /** A row, or null when the line is not one. */
  parse(line: string): TraceRow | null;
}

// What the contract takes as input_tokens and output_tokens.
const MAX_TOKENS = 16_777_216;

const AZURE_HEADING = "TIMESTAMP,ContextTokens,GeneratedTokens";
const AZURE_ROW = /^(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(\.\d{1,9})?(?:Z|\+00:00)?,(\d+),(\d+)$/;

/** Azure Public Dataset, LLM inference: UTC text with up to nine decimals, tokens in, tokens out. */
export const azureCsv: TraceFormat = {
  name: "Azure CSV",
  calendar: true,
  gridMs: 0,
  heading: true,
  parse(line) {
    const match = AZURE_ROW.exec(line);
    if (match === null) return null;
    const [, date, time, fraction = "", input, output] = match;
    return checkedRow(Date.parse(`${date}T${time}Z`) + Number(`0${fraction}`) * 1000, Number(input), Number(output));
  },
};

/** Mooncake (FAST'25): JSON lines; prefix hashes are left out, the contract has no place for them. Times sit on a 3 s grid. */
export const mooncakeJsonl: TraceFormat = {
  name: "Mooncake JSONL",
  calendar: false,
  gridMs: 3000,
  heading: false,
  parse(line) {
    let row: unknown;
    try {
      row = JSON.parse(line);
    } catch {
      return null;
    }
    if (typeof row !== "object" || row === null || !("timestamp" in row && "input_length" in row && "output_length" in row)) return null;
    return checkedRow(row.timestamp, row.input_length, row.output_length);
  },
};

function checkedRow(atMs: unknown, inputTokens: unknown, outputTokens: unknown): TraceRow | null {
  const isCount = (value: unknown): value is number => Number.isInteger(value) && (value as number) >= 0 && (value as number) <= MAX_TOKENS;
  return typeof atMs === "number" && Number.isFinite(atMs) && isCount(inputTokens) && isCount(outputTokens) ? { atMs, inputTokens, outputTokens } : null;
}

/** The format whose first line this is; null when it is neither. */
export function detectFormat(firstLine: string): TraceFormat | null {
  const line = firstLine.trim();
  if (line.replaceAll(/[\s"]/g, "").toLowerCase() === AZURE_HEADING.toLowerCase()) return azureCsv;
  return mooncakeJsonl.parse(line) === null ? null : mooncakeJsonl;
}

/** The format of a file. Throws one clear line when it cannot be read or is neither. */
export async function fileFormat(path: string): Promise<TraceFormat> {
  for await (const line of lines(path)) {
    if (line.trim() === "") continue;
    const format = detectFormat(line);
    if (format !== null) return format;
    const seen = printable(line.slice(0, 60)) + (line.length > 60 ? "…" : "");
    throw new CliFailure(
      `${path} is neither an Azure CSV (first line ${AZURE_HEADING}) nor a Mooncake JSONL ` +
        `(lines like {"timestamp":0,"input_length":10,"output_length":5}); its first line is: ${seen}`,
    );
  }
  throw new CliFailure(`${path} is empty: give a trace with at least one request`);
}

/** The rows of a file, which must be in order of time. Throws one clear line that names the line it cannot take. */
export async function* readTrace(path: string, format: TraceFormat): AsyncGenerator<TraceRow, void, undefined> {
  let lineNumber = 0;
  let headingLeft = format.heading;
  let previousMs = Number.NEGATIVE_INFINITY;
  for await (const line of lines(path)) {
    lineNumber += 1;
    if (line.trim() === "") continue;
    if (headingLeft) {
      headingLeft = false;
      continue;
    }
    const row = format.parse(line);
    if (row === null) throw new CliFailure(`${path}:${lineNumber}: not a row of a ${format.name} trace: ${printable(line.slice(0, 80))}`);
    if (row.atMs < previousMs) throw new CliFailure(`${path}:${lineNumber}: time goes back: sort the trace by time first`);
    previousMs = row.atMs;
    yield row;
  }
}

async function* lines(path: string): AsyncGenerator<string, void, undefined> {
  try {
    yield* readLines(path);
  } catch (error) {
    throw new CliFailure(`cannot read the trace ${path}: ${error instanceof Error ? error.message : String(error)}`);
  }
}
