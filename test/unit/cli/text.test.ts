import { describe, expect, test } from "@jest/globals";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";

import { RequestInfoSchema, RequestState } from "../../../gen/gpurouter/v1/router_pb.js";
import { decimalNumber, duration, moment, wholeNumber } from "../../../src/cli/option-parsers.js";
import { countText, durationText, printable, rateText, shareText, timeMs, timeText } from "../../../src/cli/quantity-text.js";
import { requestDetails, standingText } from "../../../src/cli/request-text.js";
import { styleFor, styleOff } from "../../../src/cli/style.js";
import { textTable, truncate, truncateStyled, visibleWidth } from "../../../src/cli/text-table.js";
import { testTerminal } from "./test-terminal.js";

describe("quantities", () => {
  test.each([
    [null, "-"],
    [0, "0 ms"],
    [0.44, "0.4 ms"],
    [12.4, "12 ms"],
    [999, "999 ms"],
    [999.7, "1.00 s"],
    [12_340, "12.3 s"],
    [59_990, "1 min 0 s"],
    [250_000, "4 min 10 s"],
    [7_500_000, "2 h 5 min"],
  ])("duration %p reads %s", (ms, text) => expect(durationText(ms)).toBe(text));

  test.each([
    [0, "0%"],
    [1, "100%"],
    [0.9999, "99.9%"],
    [0.0001, "0.1%"],
    [0.5, "50.0%"],
  ])("share %p reads %s: what is not all is never shown as all", (share, text) => expect(shareText(share)).toBe(text));

  test("counts, rates and times", () => {
    expect(countText(1234567)).toBe("1,234,567");
    expect([0.123, 12.34, 1234].map(rateText)).toEqual(["0.12", "12.3", "1,234"]);
    expect(timeText(timestampFromMs(1_700_000_000_123))).toBe("2023-11-14T22:13:20.123Z");
    expect(timeMs(timestampFromMs(1_700_000_000_123))).toBe(1_700_000_000_123);
    expect([timeText(undefined), timeMs(undefined)]).toEqual(["-", null]);
  });

  test("foreign text cannot drive the terminal", () => {
    expect(printable("a\u001B]0;x\u0007\r\nb\u009Bc\u202E")).toBe("a\uFFFD]0;x\uFFFD\uFFFD\uFFFDb\uFFFDc\uFFFD");
    expect(printable("GPU-1 °C ✓")).toBe("GPU-1 °C ✓");
  });
});

describe("a request that has ended", () => {
  const at = (seconds: number) => timestampFromMs(seconds * 1_000);
  const failed = { requestId: "r", state: RequestState.FAILED, acceptedTime: at(1), completionTime: at(4), error: { code: "timeout", message: "It waited for too long." } };

  test("says how long it ran", () => {
    const request = create(RequestInfoSchema, { ...failed, attempts: 1, assignedGpu: "g0", startTime: at(2), durationMs: 2_000n });
    expect(standingText(request, styleOff)).toBe("failed on g0 after 2.00 s: timeout: It waited for too long.");
    expect(requestDetails(request, styleOff)).toContain("(ran 2.00 s)");
  });

  test("says that it never began instead of a time of 0", () => {
    const waited = create(RequestInfoSchema, failed);
    expect(standingText(waited, styleOff)).toBe("failed before it started: timeout: It waited for too long.");
    expect(standingText(create(RequestInfoSchema, { ...failed, state: RequestState.CANCELLED }), styleOff)).toBe("cancelled before it started");
    expect(standingText(create(RequestInfoSchema, { ...failed, attempts: 3 }), styleOff)).toMatch(/^failed before attempt 3 started: /);
    expect(requestDetails(waited, styleOff)).toContain("(before it started)");
    expect(requestDetails(waited, styleOff)).not.toContain("0 ms");
  });
});

describe("option values", () => {
  test.each([
    ["250ms", 250],
    ["30s", 30_000],
    ["1.5m", 90_000],
    ["2h", 7_200_000],
    ["1d", 86_400_000],
    ["20", 20_000],
  ])("duration %s is %d ms", (text, ms) => expect(duration(text)).toBe(ms));

  test.each(["", "x", "-1s", "1w", "400d", "1e3"])("duration %j is refused", (text) => expect(() => duration(text)).toThrow(/such as 250ms/));

  test.each([
    ["2030-01-31T12:00:00Z", Date.UTC(2030, 0, 31, 12)],
    ["2030-01-31T12:00:00.250-02:30", Date.UTC(2030, 0, 31, 14, 30, 0, 250)],
    ["2028-02-29T00:00Z", Date.UTC(2028, 1, 29)],
    ["90s", 91_000],
    ["20", 21_000],
  ])("the moment %s is %d at second 1", (text, atMs) => expect(moment(() => 1_000)(text)).toBe(atMs));

  test.each(["", "noon", "2030-01-31", "2030-01-31T12:00:00", "2030-02-30T12:00:00Z", "2030-13-01T12:00:00Z", "2030-01-31T25:00:00Z", "-5m"])("the moment %j is refused", (text) =>
    expect(() => moment(() => 0)(text)).toThrow(/such as 2030-01-31T12:00:00Z/));

  test("numbers keep to their bounds", () => {
    expect(wholeNumber(1, 5)("5")).toBe(5);
    for (const text of ["0", "6", "1.5", "", "0x1", "-1"]) expect(() => wholeNumber(1, 5)(text)).toThrow(/from 1 to 5/);
    expect(decimalNumber(0, 10)("0.5")).toBe(0.5);
    for (const text of ["0", "11", "", "fast", "NaN"]) expect(() => decimalNumber(0, 10)(text)).toThrow(/above 0/);
  });
});

describe("tables", () => {
  test("columns line up whatever their colours, and lines have no trailing blanks", () => {
    const red = "\u001B[31mbad\u001B[39m";
    expect(textTable([{ title: "A" }, { title: "N", align: "right" }, { title: "END" }], [[red, "1", ""], ["good", "100", "x"]])).toBe(`A       N  END\n${red}     1\ngood  100  x\n`);
    expect(visibleWidth(red)).toBe(3);
  });

  test("cut text says so and keeps its colour codes closed", () => {
    expect(truncate("abcdef", 4)).toBe("abc…");
    expect(truncate("abcd", 4)).toBe("abcd");
    expect(truncateStyled("\u001B[31mabcdef\u001B[39m", 4)).toBe("\u001B[31mabc…\u001B[39m");
  });

  test("colours are for terminals that want them", () => {
    const tty = testTerminal({ tty: true }).stdout;
    expect(styleFor(tty, {}).red("x")).toBe("\u001B[31mx\u001B[39m");
    for (const env of [{ NO_COLOR: "1" }, { TERM: "dumb" }]) expect(styleFor(tty, env).red("x")).toBe("x");
    expect(styleFor(testTerminal().stdout, {}).red("x")).toBe("x");
  });
});
