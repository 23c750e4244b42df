// What is wrong with a configuration, in words for the person who wrote it: each key, what is there, what may be there. Called by those
// who read YAML that people write: both loaders, and the reader of scenarios.
import { z } from "zod";
import { closestWord } from "../lib/closest-word.js";

/** Longer values are not repeated. */
const MAX_SHOWN = 60;
const TIME_WITH_UNIT = /^\d+(\.\d+)?\s*(ms|s|sec|m|min|h|d)$/i;

/** That it cannot be used, and why. `written` is what `schema` refused, the variables of the environment named in `over` included. */
export function configTrouble(schema: z.ZodType, written: unknown, error: z.ZodError, over: readonly string[]): string {
  const source = over.length === 0 ? "" : `with ${over.join(" and ")} of the environment over it, `;
  return `${source}cannot be used:\n${schemaTrouble(schema, written, error)}`;
}

/** One line for each trouble and one for its place. `written` is what `schema` refused. */
export function schemaTrouble(schema: z.ZodType, written: unknown, error: z.ZodError): string {
  const lines = error.issues.flatMap((issue) => {
    const place = z.core.toDotPath(issue.path);
    return wordsOf(schema, written, issue).map((words) => `✖ ${words}${place === "" ? "" : `\n  → at ${place}`}`);
  });
  return lines.join("\n");
}

function wordsOf(schema: z.ZodType, written: unknown, issue: z.core.$ZodIssue): readonly string[] {
  if (issue.code === "unrecognized_keys") {
    const known = keysAt(schema, issue.path);
    return issue.keys.map((key) => {
      const meant = closestWord(key, known);
      return `There is no key "${key}"${meant === null ? "" : `; did you mean "${meant}"?`}`;
    });
  }
  // Of custom ones the words say it all, and what is in the environment of commands may be a secret.
  if (issue.code === "custom" || issue.path.includes("env")) return [issue.message];
  const value = issue.path.reduce<unknown>((part, key) => (typeof part === "object" && part !== null ? (part as Readonly<Record<PropertyKey, unknown>>)[key] : undefined), written);
  if (!["string", "number", "boolean"].includes(typeof value) || String(value).length > MAX_SHOWN) return [issue.message];
  const unit = typeof value === "string" && TIME_WITH_UNIT.test(value) && issue.message.includes("number") ? ": write the number alone, its unit is fixed" : "";
  return [`${issue.message}; it is ${JSON.stringify(value)}${unit}`];
}

/** The keys that the object at `path` may have. */
function keysAt(schema: z.ZodType, path: readonly PropertyKey[]): readonly string[] {
  let part: unknown = unwrapped(schema);
  for (const key of path) {
    if (part instanceof z.ZodObject) part = unwrapped((part.shape as Readonly<Record<PropertyKey, unknown>>)[key]);
    else if (part instanceof z.ZodArray) part = unwrapped(part.element);
    else return [];
  }
  return part instanceof z.ZodObject ? Object.keys(part.shape) : [];
}

/** What is behind defaults, optional and transformed values. */
function unwrapped(schema: unknown): unknown {
  let part = schema;
  for (;;) {
    if (part instanceof z.ZodPipe) part = part.in;
    else if (part instanceof z.ZodPrefault || part instanceof z.ZodDefault || part instanceof z.ZodOptional || part instanceof z.ZodNullable) part = part.unwrap();
    else return part;
  }
}
