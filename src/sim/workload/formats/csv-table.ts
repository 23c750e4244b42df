// A CSV file whose heading names its columns, read whole, within a bound: lists of clients or of nodes. Requests are read by table-format.ts.
import { TraceError, unreadable } from "../trace-error.js";
import { csvFields, plainName, separatorOf } from "./csv-line.js";
import { readLines } from "./read-lines.js";

/** One row: its wanted columns, and where it stands. */
export interface TableRow<Name extends string> {
  readonly cells: Readonly<Record<Name, string>>;
  /** FILE:LINE. */
  readonly where: string;
}

/** The titles of the first line; [] for a file without any. Throws a `TraceError` when it cannot be read. */
export async function titlesOf(path: string): Promise<string[]> {
  try {
    for await (const line of readLines(path)) if (line.trim() !== "") return csvFields(line, separatorOf(line)).map((title) => title.trim());
  } catch (error) {
    throw unreadable(path, error);
  }
  return [];
}

/** Whether all of the columns are among the titles. */
export function hasColumns(titles: readonly string[], wanted: readonly string[]): boolean {
  return wanted.every((name) => titles.some((title) => plainName(title) === plainName(name)));
}

/** The rows, each with the columns that are wanted, in whatever order the file has them. Throws a `TraceError` that names file and line. */
export async function readTable<Name extends string>(path: string, what: string, wanted: readonly Name[], maxRows: number): Promise<TableRow<Name>[]> {
  const titles = await titlesOf(path);
  const lacking = wanted.filter((name) => !hasColumns(titles, [name]));
  if (lacking.length > 0) throw new TraceError(`${path}:1: no ${what}: its first line has no column ${lacking.join(", ")}`);
  const places = wanted.map((name) => [name, titles.findIndex((title) => plainName(title) === plainName(name))] as const);
  const rows: TableRow<Name>[] = [];
  let lineNumber = 0;
  let separator: string | null = null;
  try {
    for await (const line of readLines(path)) {
      lineNumber += 1;
      if (line.trim() === "") continue;
      if (separator === null) {
        separator = separatorOf(line);
        continue;
      }
      const fields = csvFields(line, separator);
      const cells = Object.fromEntries(places.map(([name, place]) => [name, fields[place]?.trim() ?? ""])) as Record<Name, string>;
      if (rows.push({ cells, where: `${path}:${lineNumber}` }) > maxRows) throw new TraceError(`${path} has more than ${maxRows} rows`);
    }
  } catch (error) {
    throw error instanceof TraceError ? error : unreadable(path, error);
  }
  return rows;
}
