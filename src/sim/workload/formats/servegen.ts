// Alibaba ServeGen: not requests but what a service's clients were like. `*.clients-10min.csv` has a row for each client and
// ten minutes with its rate and how its gaps vary; `*.top15-lengths.json` has the distributions of tokens, by client and six
// hours, of fifteen of them. servegen-stream.ts draws requests.
import path from "node:path";

import { TraceError } from "../trace-error.js";
import { isTokenCount, span } from "./cells.js";
import { hasColumns, readTable } from "./csv-table.js";
import { isRecord, readJson } from "./read-json.js";

/** Ten minutes of a client that sent something in them. */
export interface ClientWindow {
  /** Since the first window of any client, ms. */
  readonly atMs: number;
  readonly ratePerSecond: number;
  /** Coefficient of variation of the gaps. */
  readonly cv: number;
  readonly pattern: "Gamma" | "Weibull";
}

/** Values with how often they occur: shares that sum to 1. */
export interface TokenShares {
  readonly values: readonly number[];
  readonly shares: readonly number[];
}

/** How long requests were in one of the stretches of six hours. */
export interface LengthWindow {
  readonly atMs: number;
  readonly input: TokenShares;
  readonly output: TokenShares;
}

export interface ServegenTrace {
  readonly name: string;
  /** By client, in the order of time; windows in which it sent nothing are left out. */
  readonly clients: ReadonlyMap<string, readonly ClientWindow[]>;
  /** Of those clients whose lengths are known. */
  readonly lengths: ReadonlyMap<string, readonly LengthWindow[]>;
  /** From the first window to the end of the last, ms. */
  readonly durationMs: number;
}

export const CLIENT_WINDOW_MS = 600_000;

const COLUMNS = ["client", "t_s", "rate_rps", "cv", "pattern"] as const;
const MAX_ROWS = 1_000_000;

/** Whether a file with these titles is a table of clients. */
export function isServegen(titles: readonly string[]): boolean {
  return hasColumns(titles, COLUMNS);
}

/** Reads both files; the one of lengths lies beside the one of clients. Rejects with a `TraceError` that names file and line. */
export async function readServegen(clientsPath: string): Promise<ServegenTrace> {
  const lengthsPath = path.join(path.dirname(clientsPath), path.basename(clientsPath).replace(/\.clients-10min\.csv(\.gz)?$/, ".top15-lengths.json$1"));
  if (lengthsPath === clientsPath) throw new TraceError(`${clientsPath} is not named NAME.clients-10min.csv(.gz): give that file; NAME.top15-lengths.json(.gz) must lie beside it`);
  const rows = await readClients(clientsPath);
  const startMs = rows.reduce((least, row) => Math.min(least, row.atMs), Number.POSITIVE_INFINITY);
  const clients = new Map<string, ClientWindow[]>();
  let durationMs = 0;
  for (const { client, ...window } of rows) {
    const windows = clients.get(client) ?? [];
    windows.push({ ...window, atMs: window.atMs - startMs });
    clients.set(client, windows);
    durationMs = Math.max(durationMs, window.atMs - startMs + CLIENT_WINDOW_MS);
  }
  for (const windows of clients.values()) windows.sort((one, other) => one.atMs - other.atMs);
  return { name: path.basename(clientsPath).replace(/\..*$/, ""), clients, lengths: readLengths(lengthsPath, await readJson(lengthsPath), startMs), durationMs };
}

async function readClients(file: string): Promise<(ClientWindow & { readonly client: string })[]> {
  const rows = await readTable(file, "ServeGen client table", COLUMNS, MAX_ROWS);
  if (rows.length === 0) throw new TraceError(`${file} has no clients`);
  return rows.map(({ cells: { client, t_s: seconds, rate_rps: rate, cv, pattern }, where }) => {
    const fail = (column: string, value: string, wanted: string): never => {
      throw new TraceError(`${where}: not a row of a ServeGen client table: the column "${column}" is ${JSON.stringify(value).slice(0, 60)}, which is no ${wanted}`);
    };
    const row = { client: client || fail("client", client, "name"), atMs: span(seconds, "s"), ratePerSecond: span(rate, "ms"), cv: span(cv, "ms") };
    if (Number.isNaN(row.atMs)) return fail("t_s", seconds, "number of seconds");
    if (!(row.ratePerSecond > 0)) return fail("rate_rps", rate, "rate above 0");
    if (!(row.cv > 0)) return fail("cv", cv, "coefficient of variation above 0");
    return { ...row, pattern: pattern === "Gamma" || pattern === "Weibull" ? pattern : fail("pattern", pattern, "Gamma and no Weibull") };
  });
}

function readLengths(file: string, json: Record<string, unknown>, startMs: number): Map<string, LengthWindow[]> {
  const lengths = new Map<string, LengthWindow[]>();
  for (const [client, windows] of Object.entries(json)) {
    if (!isRecord(windows)) throw new TraceError(`${file}: client ${client} has no windows`);
    const own = Object.entries(windows).map(([seconds, window]): LengthWindow => {
      const where = `${file}: client ${client}, window ${seconds}`;
      if (!isRecord(window) || !/^\d+$/.test(seconds)) throw new TraceError(`${where}: not a window of lengths`);
      return { atMs: Number(seconds) * 1000 - startMs, input: shares(where, window["input_tokens"]), output: shares(where, window["output_tokens"]) };
    });
    if (own.length > 0) lengths.set(client, own.sort((one, other) => one.atMs - other.atMs));
  }
  if (lengths.size === 0) throw new TraceError(`${file} has the lengths of no client`);
  return lengths;
}

function shares(where: string, pairs: unknown): TokenShares {
  const values: number[] = [];
  const parts: number[] = [];
  for (const pair of Array.isArray(pairs) ? pairs : []) {
    const [value, share]: readonly unknown[] = Array.isArray(pair) ? pair : [];
    if (!isTokenCount(value) || typeof share !== "number" || !(share >= 0)) throw new TraceError(`${where}: ${JSON.stringify(pair)} is not a number of tokens with its share`);
    values.push(value);
    parts.push(share);
  }
  const total = parts.reduce((sum, share) => sum + share, 0);
  if (!(total > 0)) throw new TraceError(`${where}: input_tokens and output_tokens must each be a list of [tokens, share]`);
  return { values, shares: parts.map((share) => share / total) };
}
