// Parsers of option values for commander: each returns the value or says what it wanted.
import { InvalidArgumentError } from "commander";

/** A parser of whole numbers within bounds. */
export function wholeNumber(minimum: number, maximum: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < minimum || value > maximum) {
      throw new InvalidArgumentError(`Give a whole number from ${minimum} to ${maximum}.`);
    }
    return value;
  };
}

/** A port to listen on; 0 takes a free one. */
export const port = wholeNumber(0, 65_535);

/** How long stopping may take, s. */
export const grace = decimalNumber(0, 86_400, true);

/** Parses one priority, or several with commas between. */
export function priorityList(text: string): readonly number[] {
  if (!/^[1-5](,[1-5]){0,999}$/.test(text)) throw new InvalidArgumentError("Give a whole number from 1 to 5, or several with commas between, such as 5,3.");
  return text.split(",").map(Number);
}

/** A parser of numbers within bounds; the minimum itself is allowed only when `inclusive`. */
export function decimalNumber(minimum: number, maximum: number, inclusive = false): (text: string) => number {
  return (text) => {
    const value = text.trim() === "" ? Number.NaN : Number(text);
    const aboveMinimum = inclusive ? value >= minimum : value > minimum;
    if (!aboveMinimum || value > maximum || Number.isNaN(value)) {
      throw new InvalidArgumentError(`Give a number ${inclusive ? "from" : "above"} ${minimum} and at most ${maximum}.`);
    }
    return value;
  };
}

const UNITS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

const RFC_3339_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:\d\d)$/;

/** A parser of moments: RFC 3339 times, or durations from now on. `now` and what it gives are UTC ms. */
export function moment(now: () => number): (text: string) => number {
  return (text) => {
    const atMs = RFC_3339_TIME.test(text) && isDay(text.slice(0, 10)) ? Date.parse(text) : Number.NaN;
    if (!Number.isNaN(atMs)) return atMs;
    try {
      return now() + duration(text);
    } catch {
      throw new InvalidArgumentError("Give a time such as 2030-01-31T12:00:00Z, or how long from now, such as 30s, 5m, 2h.");
    }
  };
}

/** Whether the calendar has it: Date.parse takes the 31st of February for a day in March. */
function isDay(day: string): boolean {
  const atMs = Date.parse(day);
  return !Number.isNaN(atMs) && new Date(atMs).toISOString().startsWith(day);
}

/** Parses 250ms, 30s, 5m, 2h, 1d, or a bare number of seconds; gives whole milliseconds, at most 365 days. */
export function duration(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)?$/.exec(text);
  const milliseconds = match ? Math.round(Number(match[1]) * (UNITS_MS[match[2] ?? "s"] ?? Number.NaN)) : Number.NaN;
  if (Number.isNaN(milliseconds) || milliseconds > 365 * 86_400_000) {
    throw new InvalidArgumentError("Give a duration such as 250ms, 30s, 5m, 2h or 1d; a bare number means seconds.");
  }
  return milliseconds;
}
