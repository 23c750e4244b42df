// Tells a JSON object from other JSON. Called by runners that read what others wrote.

/** A JSON object, as opposed to null, an array or a scalar. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
