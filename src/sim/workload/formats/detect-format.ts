// Tells by the beginning of a file which format of requests or jobs it has, in which unit and on which grid its times are. Called by whoever
// is given a file.
import { TraceError, unreadable } from "../trace-error.js";
import { csvFields, separatorOf } from "./csv-line.js";
import { gridOf } from "./grid.js";
import { LAYOUTS, type Field, type Layout, type TimeUnit } from "./layouts.js";
import { parseObject } from "./parse-object.js";
import { readLines } from "./read-lines.js";
import { clockOf, columnsOf, lineReader, missing, rowMaker, type Columns } from "./table-format.js";
import type { TraceFormat, TraceRow } from "./trace-format.js";

/** What is said of a file by whoever names it; what is left out is found out. */
export interface ReadingOptions {
  /** A key of LAYOUTS. */
  readonly format?: string;
  /** Of times that are plain numbers. */
  readonly timeUnit?: TimeUnit;
  /** What times were rounded to, ms; 0 for exact ones. */
  readonly gridMs?: number;
  /** By field what its column is called here. */
  readonly columns?: Readonly<Partial<Record<Field, string>>>;
}

/** So many lines tell unit, grid and order. */
const SAMPLE_LINES = 2000;

/** The format of a file. Throws a `TraceError` when it cannot be read or is none that is known. */
export async function fileFormat(path: string, options: ReadingOptions = {}): Promise<TraceFormat> {
  const sample = await firstLines(path);
  const first = sample[0]?.replace(/^\uFEFF/, "");
  if (first === undefined) throw new TraceError(`${path} is empty: give a trace with some requests`);
  const object = parseObject(first.trim());
  const separator = object === null ? separatorOf(first) : null;
  const titles = separator === null ? keysOf(sample) : csvFields(first, separator).map((title) => title.trim());
  const { layout, columns } = chosen(path, object === null ? "csv" : "json", titles, options);
  const read = lineReader(separator);
  const rest = sample.slice(separator === null ? 0 : 1);
  const line = rest[0] === undefined ? null : read(rest[0]);
  const { unit, calendar } = columns.time === undefined ? { unit: layout.unit, calendar: false } : clockOf(line?.(columns.time), columns.time, options.timeUnit ?? null, layout.unit);
  const make = rowMaker(columns, unit);
  const parse: TraceFormat["parse"] = (text) => {
    const values = read(text);
    return values === null ? { trouble: "it is no JSON object" } : make(values);
  };
  // What is no row is told when the file is read, by its line.
  const rows = rest.map(parse).filter((row): row is TraceRow => !("trouble" in row));
  return {
    name: layout.name,
    of: layout.of,
    calendar,
    gridMs: options.gridMs ?? (layout.of === "jobs" ? 0 : gridOf(rows)),
    ordered: rows.every(({ atMs }, place) => atMs >= (rows[place - 1]?.atMs ?? Number.NEGATIVE_INFINITY)),
    headed: separator !== null,
    parse,
  };
}

function chosen(path: string, kind: Layout["kind"], titles: readonly string[], { format, columns: named = {} }: ReadingOptions): { readonly layout: Layout; readonly columns: Columns } {
  const strange = Object.values(named).find((title) => !titles.includes(title));
  if (strange !== undefined) throw new TraceError(`${path}:1: there is no column "${strange}": there are ${titles.join(", ")}`);
  // Whose columns have other names has a format of its own.
  const wanted = LAYOUTS.filter(({ key, kind: of }) => (format === undefined ? Object.keys(named).length === 0 || of === "any" : key === format));
  const found = wanted
    .filter((layout) => layout.kind === "any" || layout.kind === kind)
    .map((each) => {
      const columns = { ...each.columns, ...Object.fromEntries(Object.entries(named).map(([field, title]) => [field, [title]])) };
      const layout = { ...each, columns };
      return { layout, columns: columnsOf(layout, titles) };
    });
  const whole = found.find(({ layout, columns }) => missing(layout, columns).length === 0);
  if (whole !== undefined) return whole;
  const near = found.map(({ layout, columns }) => `${layout.name}: ${missing(layout, columns).join(", ")}`);
  throw new TraceError(
    `${path}:1: ${format === undefined ? "this is no trace that is known" : `this is no trace of the format ${format}`}. It has the columns ${titles.join(", ").slice(0, 200)}; what is missing for a ` +
      `${near.length === 0 ? `${wanted.map(({ name }) => name).join(" or ")}: it is ${kind === "csv" ? "a CSV, and not one JSON object a line" : "one JSON object a line, and no CSV"}` : near.join("; ")}. ` +
      "Columns of other names can be told in the scenario file: columns: { time: ..., input_tokens: ..., output_tokens: ... }",
  );
}

/** Of the first objects: one alone may lack what is not always there. */
function keysOf(sample: readonly string[]): string[] {
  return [...new Set(sample.slice(0, 100).flatMap((line) => Object.keys(parseObject(line.trim()) ?? {})))];
}

async function firstLines(path: string): Promise<string[]> {
  const found: string[] = [];
  try {
    for await (const line of readLines(path)) if (line.trim() !== "" && found.push(line) === SAMPLE_LINES) break;
  } catch (error) {
    throw unreadable(path, error);
  }
  return found;
}
