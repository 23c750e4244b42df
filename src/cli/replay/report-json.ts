// The report as JSON, with snake_case keys like everything else that the command line prints for machines.
import type { ReplayReport } from "./report.js";

/** A value that JSON can hold, with every key in snake_case. The report keys nothing by foreign text, so no id is changed. */
export function reportJson(report: ReplayReport): unknown {
  return snakeCase(report);
}

/** The same for any part of it: numbers rounded to four decimals. */
export function snakeCase(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(snakeCase);
  if (typeof value !== "object" || value === null) return typeof value === "number" ? Number(value.toFixed(4)) : value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`), snakeCase(each)]));
}
