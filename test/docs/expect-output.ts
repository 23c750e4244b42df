// Whether what a command printed has the shape that a document shows.
import { expect } from "@jest/globals";
import type { Block } from "./markdown.js";

/**
 * `json`: the same keys with values of the same type, and words in capitals (enum values) equal; the real answer may have
 * more keys. `text`: every line shown is printed, in this order; numbers and runs of spaces may differ, `…` stands for anything.
 */
export function expectOutput(shown: Block, printed: string): void {
  if (shown.language === "json") expectShape(JSON.parse(shown.text), JSON.parse(printed), "answer");
  else expectLines(shown.text, printed);
}

function expectShape(shown: unknown, real: unknown, where: string): void {
  if (Array.isArray(shown)) {
    expect({ where, isArray: Array.isArray(real) }).toEqual({ where, isArray: true });
    const items = real as unknown[];
    if (shown.length > 0) expect({ where, empty: items.length === 0 }).toEqual({ where, empty: false });
    shown.forEach((item, index) => expectShape(item, items[Math.min(index, items.length - 1)], `${where}[${index}]`));
  } else if (typeof shown === "object" && shown !== null) {
    for (const [key, value] of Object.entries(shown)) {
      expect({ where: `${where}.${key}`, keys: Object.keys((real ?? {}) as object) }).toEqual({ where: `${where}.${key}`, keys: expect.arrayContaining([key]) });
      expectShape(value, (real as Readonly<Record<string, unknown>>)[key], `${where}.${key}`);
    }
  } else if (typeof shown === "string" && /^[A-Z_]+$/.test(shown)) expect({ where, value: real }).toEqual({ where, value: shown });
  else expect({ where, type: typeof real }).toEqual({ where, type: typeof shown });
}

function expectLines(shown: string, printed: string): void {
  const lines = printed.split("\n");
  let from = 0;
  for (const line of shown.split("\n").filter((text) => text.trim() !== "")) {
    const found = lines.findIndex((real, index) => index >= from && pattern(line).test(real));
    expect({ line, found: found >= 0 || printed }).toEqual({ line, found: true });
    from = found + 1;
  }
}

function pattern(line: string): RegExp {
  const escaped = line.trim().replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`);
  return new RegExp(`^\\s*${escaped.replaceAll("…", ".*").replaceAll(/\s+/g, "\\s+").replaceAll(/\d+/g, "\\d+")}\\s*$`);
}
