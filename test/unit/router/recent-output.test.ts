import { describe, expect, test } from "@jest/globals";
import type { RequestId } from "../../../src/core/model/ids.js";
import { RecentOutput } from "../../../src/router/recent-output.js";

const ref = (id: string, attempt = 1) => ({ requestId: id as RequestId, attempt });
const bytes = (length: number): Uint8Array => new Uint8Array(length).fill(7);

describe("recent output", () => {
  test("keeps pieces in order and as they were, whatever becomes of the sender's memory", () => {
    const recent = new RecentOutput();
    const sent = Uint8Array.of(1, 2);
    recent.add(ref("a"), 0, sent);
    recent.add(ref("a"), 2, Uint8Array.of(3));
    sent.fill(9);
    expect(recent.of("a" as RequestId)).toEqual([
      { attempt: 1, offset: 0, data: Uint8Array.of(1, 2) },
      { attempt: 1, offset: 2, data: Uint8Array.of(3) },
    ]);
    expect(recent.of("b" as RequestId)).toEqual([]);
  });

  test("forgets an attempt when the next one speaks", () => {
    const recent = new RecentOutput();
    recent.add(ref("a", 1), 0, bytes(3));
    recent.add(ref("a", 2), 0, bytes(4));
    expect(recent.of("a" as RequestId).map(({ attempt, data }) => [attempt, data.byteLength])).toEqual([[2, 4]]);
  });

  test("keeps the newest 64 KiB of a request", () => {
    const recent = new RecentOutput();
    for (let piece = 0; piece < 100; piece += 1) recent.add(ref("a"), piece * 1_000, bytes(1_000));
    const kept = recent.of("a" as RequestId);
    expect(kept.length).toBe(61);
    expect(kept[kept.length - 1]?.offset).toBe(99_000);
  });

  test("keeps 8 MiB in all: whoever began first goes first", () => {
    const recent = new RecentOutput();
    for (let request = 0; request < 300; request += 1) recent.add(ref(`r${request}`), 0, bytes(60_000));
    expect(recent.of("r0" as RequestId)).toEqual([]);
    expect(recent.of("r299" as RequestId)).toHaveLength(1);
    const left = Array.from({ length: 300 }, (_, request) => recent.of(`r${request}` as RequestId).length).reduce((sum, count) => sum + count);
    expect(left).toBe(Math.floor((8 * 1024 * 1024) / 60_064));
  });
});
