// The priors beside measurements that others published, and the names that drivers tell.
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, test } from "@jest/globals";
import { gpuSpeed, relativeSpeed } from "../../../../src/core/estimate/gpu-speeds.js";

const SILICON = path.resolve("../shared/traces/aiconfigurator-silicon/silicon_sample.csv");
const SPLITWISE = path.resolve("../shared/traces/splitwise-perf/perf_model.csv");
const hasTraces = existsSync(SILICON) && existsSync(SPLITWISE);
if (!hasTraces && process.env["GPU_ROUTER_REQUIRE_ALL"] !== "1") process.stderr.write("Skipped: the priors beside measurements need the traces in ../shared/traces\n");
const testWithTraces = hasTraces || process.env["GPU_ROUTER_REQUIRE_ALL"] === "1" ? test : test.skip;

describe("names", () => {
  test.each([
    ["NVIDIA H100 80GB HBM3", "NVIDIA H100 PCIe"],
    ["NVIDIA H200", "NVIDIA H100 NVL"],
    ["NVIDIA A100-SXM4-80GB", "NVIDIA A100-SXM4-40GB"],
    ["NVIDIA A100 80GB PCIe", "NVIDIA A100-PCIE-40GB"],
    ["NVIDIA L40S", "NVIDIA A10"],
    ["NVIDIA A10", "NVIDIA A10G"],
    ["NVIDIA A10G", "Tesla T4"],
    ["NVIDIA GeForce RTX 4090", "NVIDIA GeForce RTX 3090"],
    ["Tesla V100-SXM2-16GB", "Tesla P100-SXM2-16GB"],
    ["Tesla P100-PCIE-16GB", "Tesla K80"],
    ["NVIDIA RTX PRO 6000 Blackwell Server Edition", "NVIDIA RTX 6000 Ada Generation"],
    ["NVIDIA RTX 6000 Ada Generation", "NVIDIA RTX A6000"],
    ["NVIDIA GB200", "NVIDIA B200"],
  ])("%s is faster than %s", (faster, slower) => {
    expect(relativeSpeed(faster)).toBeGreaterThan(relativeSpeed(slower));
  });

  test("letters of any case, as in traces, name the same", () => {
    expect(gpuSpeed("h100-80gb")).toEqual(gpuSpeed("Simulated H100-SXM5-80GB"));
  });

  test("an A100 is 1; so is what nobody knows, even when its name holds the letters of another", () => {
    for (const name of ["NVIDIA A100-SXM4-80GB", "Test GPU", "", "Graphics Device", "XA40B", "NVIDIA A1000"]) expect(relativeSpeed(name)).toBe(1);
  });

  test("a MIG instance has the share of its GPU that its profile says", () => {
    const whole = gpuSpeed("NVIDIA A100-SXM4-80GB");
    expect(gpuSpeed("NVIDIA A100-SXM4-80GB MIG 3g.40gb")).toEqual({ compute: (whole.compute * 3) / 7, bandwidth: whole.bandwidth / 2 });
    expect(gpuSpeed("NVIDIA A100-SXM4-80GB MIG 7g.80gb")).toEqual(whole);
    const sevenths = relativeSpeed("NVIDIA H100 80GB HBM3 MIG 1g.10gb") / relativeSpeed("NVIDIA H100 80GB HBM3");
    expect(sevenths).toBeGreaterThan(1 / 8);
    expect(sevenths).toBeLessThan(1 / 4);
  });
});

interface Measured {
  readonly promptMs: number;
  readonly tokenMs: number;
}

function rows(file: string): readonly Readonly<Record<string, string>>[] {
  const [header = "", ...lines] = readFileSync(file, "utf8").trim().split("\n");
  const names = header.split(",");
  return lines.map((line) => Object.fromEntries(line.split(",").map((value, column) => [names[column] ?? "", value.trim()])));
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}

/** How many times faster `faster` is than `slower`: medians over the cases that were measured on both. */
function measuredGain(cases: ReadonlyMap<string, ReadonlyMap<string, Measured>>, faster: string, slower: string): { prompt: number; token: number; count: number } {
  const both = [...cases.values()].flatMap((of) => {
    const [fast, slow] = [of.get(faster), of.get(slower)];
    return fast && slow ? [{ prompt: slow.promptMs / fast.promptMs, token: slow.tokenMs / fast.tokenMs }] : [];
  });
  return { prompt: median(both.map(({ prompt }) => prompt)), token: median(both.map(({ token }) => token)), count: both.length };
}

/** Rows that differ in nothing but the GPU, and what each GPU took. Of repeated rows the last counts. */
function casesOf(file: string, gpu: string, prompt: string, token: string, ignored: readonly string[]): Map<string, Map<string, Measured>> {
  const cases = new Map<string, Map<string, Measured>>();
  for (const row of rows(file)) {
    const measured = { promptMs: Number(row[prompt]), tokenMs: Number(row[token]) };
    if (!(measured.promptMs > 0 && measured.tokenMs > 0)) continue;
    const key = JSON.stringify(Object.entries(row).filter(([name]) => ![gpu, prompt, token, ...ignored].includes(name)));
    const of = cases.get(key) ?? new Map<string, Measured>();
    cases.set(key, of.set(row[gpu] ?? "", measured));
  }
  return cases;
}

describe("beside measurements", () => {
  const WITHIN = 1.3;

  testWithTraces("of two models on A100 and H100 (Splitwise): within 30 %", () => {
    const cases = casesOf(SPLITWISE, "hardware", "prompt_time", "token_time", ["peak_power", "average_power", "e2e_time"]);
    const { prompt, token, count } = measuredGain(cases, "h100-80gb", "a100-80gb");
    expect(count).toBeGreaterThan(50);
    const [fast, slow] = [gpuSpeed("h100-80gb"), gpuSpeed("a100-80gb")];
    expect(Math.abs(Math.log(fast.compute / slow.compute / prompt))).toBeLessThan(Math.log(WITHIN));
    expect(Math.abs(Math.log(fast.bandwidth / slow.bandwidth / token))).toBeLessThan(Math.log(WITHIN));
  });

  testWithTraces.each([
    ["h200_sxm", "h100_sxm"],
    ["b200_sxm", "h200_sxm"],
    ["b200_sxm", "h100_sxm"],
    ["b300_sxm", "b200_sxm"],
  ])("of large models on %s and %s (silicon data of AIConfigurator): within 30 %%", (faster, slower) => {
    const cases = casesOf(SILICON, "system", "silicon_ttft_ms", "silicon_tpot_ms", ["id", "silicon_data_source", "backend_version"]);
    const { prompt, token, count } = measuredGain(cases, faster, slower);
    expect(count).toBeGreaterThan(50);
    const [fast, slow] = [faster, slower].map((system) => gpuSpeed(system.replace("_", " ")));
    expect(Math.abs(Math.log(fast!.compute / slow!.compute / prompt))).toBeLessThan(Math.log(WITHIN));
    expect(Math.abs(Math.log(fast!.bandwidth / slow!.bandwidth / token))).toBeLessThan(Math.log(WITHIN));
  });
});
