// Results as JSON for machines: snake_case keys, NaN and Infinity as null. Keys are the code's own, never foreign text, so no name is changed.

/** A value that JSON can hold. */
export function plainJson(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plainJson);
  if (typeof value === "number") return Number.isFinite(value) ? Number(value.toPrecision(6)) : null;
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`), plainJson(each)]));
}

/** One document, indented. */
export function jsonText(value: unknown): string {
  return `${JSON.stringify(plainJson(value), null, 2)}\n`;
}
