import { describe, expect, test } from "@jest/globals";

import { progressText, showProgress } from "../../../../src/cli/replay/progress-bar.js";
import { newCounters } from "../../../../src/cli/replay/run.js";
import { testTerminal } from "../test-terminal.js";

const half = { counters: { ...newCounters(), sent: 500, inFlight: 100, completed: 380, failed: 15, refused: 5 }, total: 1000, elapsedMs: 2000, scheduleMs: 5000 };

describe("progress", () => {
  test("says sent, done, failed, in flight, rate and time left", () => {
    expect(progressText(half)).toBe("sent 500/1,000, done 380, failed 20, in flight 100, 200/s, sending for 3.00 s more");
    expect(progressText({ ...half, counters: { ...half.counters, sent: 1000 } })).toMatch(/waiting for the last ones$/);
  });

  test("redraws one line on a terminal, no wider than it is, and completes it once", () => {
    const terminal = testTerminal({ tty: true });
    terminal.stderr.columns = 60;
    const stop = showProgress(terminal, () => half);
    stop();
    stop();
    const lines = terminal.stderr.text.split("\n");
    expect(lines).toHaveLength(2);
    expect(lines[0]).toMatch(/^\r█{10}▒{2}░{12} sent 500/);
    expect(Array.from(lines[0] ?? "").length).toBeLessThanOrEqual(60 + "\r\u001B[K".length);
  });

  test("writes nothing but whole lines into a log", () => {
    const terminal = testTerminal();
    showProgress(terminal, () => half)();
    expect(terminal.stderr.text).toBe("");
  });
});
