// Single values of a trace, from a CSV's text or a JSON's value: numbers of tokens, times, hashes. NaN or null for what is none.
import { hash32 } from "../../../lib/random.js";
import type { TimeUnit } from "./layouts.js";

// What the contract takes as input_tokens and output_tokens.
const MAX_TOKENS = 16_777_216;
// Prompts of 16 Mi tokens have as many blocks of 512.
const MAX_BLOCKS = 32_768;
const MS: Readonly<Record<TimeUnit, number>> = { s: 1000, ms: 1, us: 1e-3, ns: 1e-6 };

/** Whether a value can be a request's token count. */
export function isTokenCount(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= MAX_TOKENS;
}

/** A number of tokens, 0 to 16,777,216; fractions, which means and floats have, are rounded. */
export function tokens(value: unknown): number {
  const whole = Math.round(number(value));
  return isTokenCount(whole) ? whole : Number.NaN;
}

/** A whole number, 0 and above. */
export function wholeNumber(value: unknown): number {
  const whole = number(value);
  return Number.isInteger(whole) && whole >= 0 ? whole : Number.NaN;
}

/** A length of time, 0 and above, as ms. */
export function span(value: unknown, unit: TimeUnit): number {
  const length = number(value) * MS[unit];
  return length >= 0 ? length : Number.NaN;
}

const DATE = /^(\d{4}-\d\d-\d\d)(?:[ T](\d\d:\d\d(?::\d\d)?)(\.\d{1,12})?\s*(Z|UTC|[+-]\d\d(?::?\d\d)?)?)?$/i;

/** A time, ms: a date on the calendar, UTC unless it says otherwise, or a number of `unit`. */
export function time(value: unknown, unit: TimeUnit): number {
  const plain = number(value);
  if (!Number.isNaN(plain)) return plain * MS[unit];
  const [, date, clock = "00:00", fraction = "", zone = ""] = (typeof value === "string" && DATE.exec(value.trim())) || [];
  return date === undefined ? Number.NaN : Date.parse(`${date}T${clock}Z`) + Number(`0${fraction}`) * 1000 - zoneMs(zone);
}

/** Whether a time has a date. */
export function isDate(value: unknown): boolean {
  return typeof value === "string" && Number.isNaN(number(value)) && DATE.test(value.trim());
}

/** The unit in which a number can be seconds since 1970 between 2001 and 2100; null when it is none. */
export function epochUnit(value: unknown): TimeUnit | null {
  const plain = number(value);
  const units: readonly TimeUnit[] = ["s", "ms", "us", "ns"];
  return units.find((unit) => plain * MS[unit] >= 1e12 && plain * MS[unit] < 4.1e12) ?? null;
}

/** Chained hashes of a prompt's blocks, folded to 32 bits: numbers, or any other names of blocks. */
export function hashes(value: unknown): readonly number[] | null {
  const list: readonly unknown[] | null = Array.isArray(value) ? value : typeof value === "string" ? value.split(/[^\w-]+/).filter((each) => each !== "") : null;
  if (list === null || list.length > MAX_BLOCKS) return null;
  if (list.every(isFolded)) return list;
  const folded = list.map((each) => (typeof each === "string" && /^\d{1,9}$/.test(each) ? Number(each) : isFolded(each) ? each : typeof each === "string" || typeof each === "number" ? hash32(String(each)) : Number.NaN));
  return folded.some(Number.isNaN) ? null : folded;
}

/** A name: text, or a number for one. */
export function name(value: unknown): string | null {
  return typeof value === "string" ? value.trim() : typeof value === "number" ? String(value) : null;
}

function isFolded(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= 0xffff_ffff;
}

function number(value: unknown): number {
  if (typeof value === "string") return value.trim() === "" ? Number.NaN : finite(Number(value));
  return typeof value === "number" ? finite(value) : Number.NaN;
}

function finite(value: number): number {
  return Number.isFinite(value) ? value : Number.NaN;
}

function zoneMs(zone: string): number {
  const [, sign, hours = "0", minutes = "0"] = /^([+-])(\d\d):?(\d\d)?$/.exec(zone) ?? [];
  return sign === undefined ? 0 : (sign === "-" ? -1 : 1) * (Number(hours) * 60 + Number(minutes)) * 60_000;
}
