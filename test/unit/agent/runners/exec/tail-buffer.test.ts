import { describe, expect, test } from "@jest/globals";
import { TailBuffer } from "../../../../../src/agent/runners/exec/tail-buffer.js";
import { seededRandom } from "../../../../../src/lib/random.js";

describe("TailBuffer", () => {
  test("holds the same end as one that keeps everything, whatever the pieces", () => {
    for (let seed = 1; seed <= 200; seed += 1) {
      const random = seededRandom(seed);
      const max = Math.floor(random() * 20);
      const tail = new TailBuffer(max);
      let all = "";
      for (let piece = 0; piece < 12; piece += 1) {
        const text = Array.from({ length: Math.floor(random() * 30) }, () => String.fromCharCode(97 + random() * 26)).join("");
        all += text;
        tail.push(Buffer.from(text));
        expect(tail.bytes().toString()).toBe(max === 0 ? "" : all.slice(-max));
        expect(tail.truncated).toBe(all.length > max);
      }
    }
  });

  test("does not begin in the middle of a character", () => {
    const tail = new TailBuffer(4);
    tail.push(Buffer.from("äöü"));
    expect(tail.bytes().toString()).toBe("öü");
    tail.push(Buffer.from("x"));
    expect(tail.bytes().toString()).toBe("üx");
  });
});
