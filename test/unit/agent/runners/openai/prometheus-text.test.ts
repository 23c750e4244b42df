import { describe, expect, test } from "@jest/globals";
import { samplesOf } from "../../../../../src/agent/runners/openai/prometheus-text.js";

function read(text: string, ...names: string[]): [Record<string, string>, number][] {
  return samplesOf(text, new Set(names)).map(({ labels, value }) => [Object.fromEntries(labels), value]);
}

describe("A page of metrics", () => {
  test("gives the wanted samples with their labels, whatever stands between", () => {
    const page = [
      "# HELP http_requests_total The total number of requests.",
      "# TYPE http_requests_total counter",
      'http_requests_total{method="post",code="200"} 1027 1395066363000',
      'http_requests_total { method = "post" , code="400", }    3',
      "",
      "# http_requests_total 5",
      "http_requests_total_sum 6",
      "other 7",
      "http_requests_total 8\r",
    ].join("\n");
    expect(read(page, "http_requests_total")).toEqual([[{ method: "post", code: "200" }, 1027], [{ method: "post", code: "400" }, 3], [{}, 8]]);
  });

  test("may have quotes, backslashes, line ends and braces inside label values", () => {
    const page = String.raw`a{path="C:\\DIR\\new",said="\"} 1\"\n,{",empty=""} 2`;
    expect(read(page, "a")).toEqual([[{ path: "C:\\DIR\\new", said: '"} 1"\n,{', empty: "" }, 2]]);
  });

  test.each([
    ["1", 1],
    ["-0.5", -0.5],
    ["1.458255915e9", 1_458_255_915],
    ["+Inf", Infinity],
    ["-Inf", -Infinity],
    ["NaN", Number.NaN],
    ["17 # {trace_id=\"x\"} 0.5", 17],
  ])("has values like %s", (word, value) => {
    expect(read(`a{b="c"} ${word}`, "a")).toEqual([[{ b: "c" }, value]]);
    expect(read(`a ${word}`, "a")).toEqual([[{}, value]]);
  });

  test.each(["a", "a{b=\"c\"}", "a x", 'a{b="c" 1', "a{b=c} 1", 'a{b="c"d="e"} 1', 'a{b="c\\"} 1', "{a} 1", " a 1", "a1 1"])("has no sample in %j", (line) => {
    expect(read(line, "a")).toEqual([]);
  });

  test("of a hundred thousand quotes without end is not looked at for long", () => {
    const began = performance.now();
    expect(read(`a{b="${'\\"'.repeat(100_000)}`, "a")).toEqual([]);
    expect(read(`a{${'b="c",'.repeat(100_000)}`, "a")).toEqual([]);
    expect(performance.now() - began).toBeLessThan(1_000);
  });
});
