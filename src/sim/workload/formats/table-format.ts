// Reads lines by a layout: finds the layout's columns among those of the file, whatever their order and whatever stands beside them, and
// makes a row of each line. Made by detect-format.ts, once a file.
import { epochUnit, hashes, isDate, name, span, time, tokens, wholeNumber } from "./cells.js";
import { csvFields, plainName } from "./csv-line.js";
import type { Field, Layout, TimeUnit } from "./layouts.js";
import { parseObject } from "./parse-object.js";
import type { BadRow, TraceRow } from "./trace-format.js";

/** Where a field lies in a file. */
interface Column {
  readonly title: string;
  /** Of a CSV. */
  readonly place: number;
  /** Of times and durations, when the title says it. */
  readonly unit: TimeUnit | null;
}

export type Columns = Readonly<Partial<Record<Field, Column>>>;

const UNIT_BEHIND = /[\s_([]+(ns|us|ms|s|secs?|seconds|millis|milliseconds|micros|microseconds|nanos|nanoseconds)[)\]]?$/i;

/** The layout's columns among `titles`. Those that it lacks are left out. */
export function columnsOf(layout: Layout, titles: readonly string[]): Columns {
  const found: Partial<Record<Field, Column>> = {};
  for (const [field, names = []] of Object.entries(layout.columns) as [Field, readonly string[]][]) {
    for (const each of names) {
      const place = titles.findIndex((title) => plainName(title) === plainName(each) || plainName(title.replace(UNIT_BEHIND, "")) === plainName(each));
      if (place < 0) continue;
      const title = titles[place] ?? "";
      const [, unit] = UNIT_BEHIND.exec(title) ?? [];
      found[field] = { title, place, unit: unit === undefined ? null : unitOf(unit) };
      break;
    }
  }
  return found;
}

/** The fields of `layout` that the file lacks, by their usual names. */
export function missing(layout: Layout, columns: Columns): string[] {
  return layout.needs.filter((field) => columns[field] === undefined).map((field) => layout.columns[field]?.[0] ?? field);
}

/** The value of a field on a line that was split or parsed; undefined when it has none. */
export type Line = (column: Column) => unknown;

/** A line as its values; null when it is not one of this kind. */
export function lineReader(separator: string | null): (line: string) => Line | null {
  if (separator === null) {
    return (line) => {
      const object = parseObject(line);
      return object && (({ title }) => object[title]);
    };
  }
  return (line) => {
    const fields = csvFields(line, separator);
    return ({ place }) => fields[place];
  };
}

/** In which unit a file counts its times, told by its first row; and whether they are on the calendar. */
export function clockOf(first: unknown, { unit: titled }: Column, wanted: TimeUnit | null, usual: TimeUnit): { readonly unit: TimeUnit; readonly calendar: boolean } {
  const epoch = epochUnit(first);
  const unit = wanted ?? titled ?? epoch ?? usual;
  return { unit, calendar: isDate(first) || epoch === unit };
}

/** Makes rows of lines. `unit` is that of times; that of durations is in their title, or seconds. */
export function rowMaker(columns: Columns, unit: TimeUnit): (line: Line) => TraceRow | BadRow {
  const { time: at, inputTokens, outputTokens, model, sender, session, hashes: blocks, gpus, duration, begun, ended } = columns;
  return (line) => {
    if (at === undefined) return { trouble: "it has no column of times" };
    const row: { -readonly [K in keyof TraceRow]: TraceRow[K] } = { atMs: time(line(at), unit), inputTokens: 0, outputTokens: 0 };
    if (Number.isNaN(row.atMs)) return bad(at, line, `no time (a date such as 2023-11-16 18:17:03.97, or a number of ${unit})`);
    if (inputTokens !== undefined && Number.isNaN((row.inputTokens = tokens(line(inputTokens))))) return bad(inputTokens, line, TOKENS);
    if (outputTokens !== undefined && Number.isNaN((row.outputTokens = tokens(line(outputTokens))))) return bad(outputTokens, line, TOKENS);
    if (gpus !== undefined && Number.isNaN((row.gpus = wholeNumber(line(gpus))))) return bad(gpus, line, "no number of GPUs (a whole number)");
    if (duration !== undefined && Number.isNaN((row.workMs = span(line(duration), duration.unit ?? "s")))) return bad(duration, line, "no length of time (a number, 0 or above)");
    if (duration === undefined && begun !== undefined && ended !== undefined) {
      const [from, to] = [line(begun), line(ended)];
      const [fromMs, toMs] = [time(from, unit), time(to, unit)];
      // What never began, or has not ended, has done no work that one could know.
      row.workMs = from === "" || to === "" ? 0 : Math.max(0, toMs - fromMs);
      if (Number.isNaN(row.workMs)) return bad(Number.isNaN(fromMs) ? begun : ended, line, "no time, nor empty");
    }
    const list = blocks === undefined ? undefined : line(blocks);
    if (blocks !== undefined && list !== undefined && list !== null) {
      const folded = hashes(list);
      if (folded === null) return bad(blocks, line, "no list of at most 32,768 hashes");
      row.prefixHashes = folded;
    }
    const [from, asked, ofSession] = [sender, model, session].map((column) => (column === undefined ? null : name(line(column))));
    if (from) row.sender = from;
    if (asked) row.model = asked;
    if (ofSession) row.sessionKey = ofSession;
    return row;
  };
}

const TOKENS = "no number of tokens (0 to 16,777,216)";

function bad(column: Column, line: Line, what: string): BadRow {
  const value = line(column);
  return { trouble: value === undefined ? `the column "${column.title}" is not there` : `the column "${column.title}" is ${JSON.stringify(value).slice(0, 60)}, which is ${what}` };
}

function unitOf(text: string): TimeUnit {
  const start = text.toLowerCase();
  if (start.startsWith("s")) return "s";
  if (start === "ms" || start.startsWith("milli")) return "ms";
  return start.startsWith("u") || start.startsWith("micro") ? "us" : "ns";
}
