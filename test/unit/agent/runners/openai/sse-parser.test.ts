import { describe, expect, test } from "@jest/globals";
import { SseParser } from "../../../../../src/agent/runners/openai/sse-parser.js";

/** Events of `stream` when it arrives in pieces of `size` bytes. */
function eventsOf(stream: string, size: number): string[] {
  const bytes = Buffer.from(stream);
  const parser = new SseParser(1000);
  const events: string[] = [];
  for (let from = 0; from < bytes.length; from += size) events.push(...parser.push(bytes.subarray(from, from + size)));
  events.push(...parser.end());
  return events;
}

describe("SseParser", () => {
  test.each([
    ["LF", "data: a\n\ndata: b\n\n", ["a", "b"]],
    ["CRLF", "data: a\r\n\r\ndata: b\r\n\r\n", ["a", "b"]],
    ["CR", "data: a\r\rdata: b\r\r", ["a", "b"]],
    ["comments and other fields", ": ping\n\nevent: x\nid: 1\nretry: 5\ndata: a\n\n: bye\n\n", ["a"]],
    ["several data lines", "data: a\ndata:\ndata: b\n\n", ["a\n\nb"]],
    ["no space after the colon, two spaces", "data:a\n\ndata:  b\n\n", ["a", " b"]],
    ["no blank line at the end", "data: a\n\ndata: b", ["a", "b"]],
    ["fields that only start like data", "database: x\ndata: a\n\n", ["a"]],
    ["characters of several bytes", "data: häßlich 🙂\n\n", ["häßlich 🙂"]],
    ["nothing", "", []],
  ])("reads %s the same however the bytes are cut", (_, stream, expected) => {
    for (let size = 1; size <= Buffer.byteLength(stream) + 1; size += 1) expect(eventsOf(stream, size)).toEqual(expected);
  });

  test("a line without end stops at the bound, whether in one piece or in many", () => {
    expect(new SseParser(1000).push(Buffer.alloc(1001, "x"))).toBe("too_long");
    const parser = new SseParser(1000);
    let pushed = 0;
    while (parser.push(Buffer.alloc(10, "x")) !== "too_long") pushed += 10;
    expect(pushed).toBe(1000);
  });

  test("many data lines of one event stop at the bound together", () => {
    expect(new SseParser(1000).push(Buffer.from("data: 0123456789\n".repeat(100)))).toBe("too_long");
  });
});
