import { describe, expect, test } from "@jest/globals";
import { parseProgressLine, ProgressFilter } from "../../../../../src/agent/runners/exec/progress-filter.js";

/** What comes of `stream` in pieces of `size` bytes: the output, and each progress as "fraction message". */
function filtered(stream: string, size: number): { output: string; progress: string[] } {
  const parts: Buffer[] = [];
  const progress: string[] = [];
  const filter = new ProgressFilter({ output: (data) => parts.push(Buffer.from(data)), progress: (fraction, message) => progress.push(`${fraction} ${message}`) });
  const bytes = Buffer.from(stream);
  for (let from = 0; from < bytes.length; from += size) filter.push(bytes.subarray(from, from + size));
  filter.end();
  return { output: Buffer.concat(parts).toString(), progress };
}

describe("ProgressFilter", () => {
  test.each([
    ["a\n::progress 0.5 half\nb\n", "a\nb\n", ["0.5 half"]],
    ['{"progress":0.25,"message":"q"}\n{"progress": 1}\n', "", ["0.25 q", "1 "]],
    ["::progress 1", "", ["1 "]],
    ["::progress .5 dos\r\nx", "x", ["0.5 dos"]],
    ["not ::progress 0.5\n", "not ::progress 0.5\n", []],
    ["::progress 1.5 too much\n", "::progress 1.5 too much\n", []],
    ["::progressive\n::\n:", "::progressive\n::\n:", []],
    ['{"progress":1,"accuracy":0.9}\n{"a"\n{', '{"progress":1,"accuracy":0.9}\n{"a"\n{', []],
    ['{"progress":"1"}\n{"progress":1,"message":2}\n', '{"progress":"1"}\n{"progress":1,"message":2}\n', []],
    ["häh 🙂\n::progress 0 ü\n", "häh 🙂\n", ["0 ü"]],
  ])("tells progress from output the same however the bytes are cut: %j", (stream, output, progress) => {
    for (let size = 1; size <= Buffer.byteLength(stream) + 1; size += 1) expect(filtered(stream, size)).toEqual({ output, progress });
  });

  test("output that cannot become progress leaves at once, without waiting for the end of its line", () => {
    const parts: string[] = [];
    const filter = new ProgressFilter({ output: (data) => parts.push(data.toString()), progress: () => {} });
    filter.push(Buffer.from("tok"));
    filter.push(Buffer.from("en {"));
    filter.push(Buffer.from("\n:"));
    expect(parts).toEqual(["tok", "en {", "\n"]);
  });

  test("a line that starts like progress is held back only up to a bound", () => {
    let bytes = 0;
    const filter = new ProgressFilter({ output: (data) => (bytes += data.length), progress: () => {} });
    filter.push(Buffer.from(`{${"x".repeat(4095)}`));
    expect(bytes).toBe(0);
    filter.push(Buffer.from("x"));
    expect(bytes).toBe(4097);
  });

  test("a message is bounded", () => {
    expect(parseProgressLine(`::progress 0 ${"m".repeat(1000)}`)?.message.length).toBe(256);
  });
});
