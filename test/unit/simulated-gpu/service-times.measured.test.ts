// The service-time model against measurements that others published: what it was fitted to, and what only checks it.
// The table beside it (measured/errors.json) is what this test computes; GPU_ROUTER_WRITE_ERRORS=1 writes it anew.
import { readFileSync, writeFileSync } from "node:fs";
import { describe, expect, test } from "@jest/globals";
import { deliveryOf, serviceTimes, workSpeed, type Delivery } from "../../../src/simulated-gpu/service-times.js";
import { testWith } from "../agent/probes/requirement.js";
import { MISSING_TRACES, readCsv, readTrace } from "./measured/read-csv.js";
import { errorsOf, meanError, siliconRuns } from "./measured/silicon-runs.js";
import { measuredAndSimulated, VLLM_RUNS, type Figures } from "./measured/vllm-runs.js";

const TABLE = "test/unit/simulated-gpu/measured/errors.json";
const testWithTraces = testWith(MISSING_TRACES.length === 0, `measurements in ../shared/traces (${MISSING_TRACES.join(", ")})`);

/** Shares, such as 0.05 for 5 % too much. */
interface Table {
  readonly about: string;
  /** Of the time per token; never negative. */
  readonly fitted: Readonly<Record<string, { readonly loads: number; readonly median: number; readonly largest: number }>>;
  readonly checked: Readonly<Record<string, Figures>>;
}

function rounded(share: number): number {
  return Math.round(share * 1000) / 1000;
}

function computed(): Table {
  const fitted = siliconRuns().map((run) => {
    const errors = errorsOf(run).toSorted((a, b) => a - b);
    return [run.name, { loads: errors.length, median: rounded(errors[errors.length >> 1]!), largest: rounded(errors.at(-1)!) }] as const;
  });
  const checked = VLLM_RUNS.map((run) => {
    const { measured, simulated } = measuredAndSimulated(run);
    const errors = Object.keys(measured).map((figure) => [figure, rounded(simulated[figure as keyof Figures] / measured[figure as keyof Figures] - 1)]);
    return [run.name, Object.fromEntries(errors) as Figures] as const;
  });
  const about = "Errors of the service-time model and the batching engine, as shares of what was measured. Written by service-times.measured.test.ts.";
  return { about, fitted: Object.fromEntries(fitted), checked: Object.fromEntries(checked) };
}

describe("the service-time model", () => {
  testWithTraces("has the errors that the table beside this test says", () => {
    const table = computed();
    if (process.env["GPU_ROUTER_WRITE_ERRORS"] === "1") writeFileSync(TABLE, `${JSON.stringify(table, null, 2)}\n`);
    expect(table).toEqual(JSON.parse(readFileSync(TABLE, "utf8")));
  });

  testWithTraces("is within 15 % of real vLLM runs in their length and in the median time of a request", () => {
    for (const [name, { totalP50, makespan }] of Object.entries(computed().checked)) {
      expect({ name, totalP50: Math.abs(totalP50) < 0.15, makespan: Math.abs(makespan) < 0.15 }).toEqual({ name, totalP50: true, makespan: true });
    }
  });

  testWithTraces("fits the time per token of the measured runs, half of them within 3 %, nine of ten within 13 %", () => {
    const errors = siliconRuns().flatMap((run) => errorsOf(run)).toSorted((a, b) => a - b);
    expect(errors.length).toBe(147);
    expect(errors[73]).toBeLessThan(0.03);
    expect(errors[Math.floor(errors.length * 0.9)]).toBeLessThan(0.13);
  });

  testWithTraces("would fit worse with any of its constants a quarter larger or smaller", () => {
    const runs = siliconRuns();
    const fitted = deliveryOf({ memory: "HBM", link: "NVLink" });
    const least = meanError(runs, fitted);
    const changes: ((factor: number) => Partial<Delivery>)[] = [
      (factor) => ({ compute: fitted.compute * factor }),
      (factor) => ({ fp8Compute: fitted.fp8Compute * factor }),
      (factor) => ({ weightBandwidth: fitted.weightBandwidth * factor, kvBandwidth: fitted.kvBandwidth * factor }),
      (factor) => ({ layerMs: fitted.layerMs * factor }),
      (factor) => ({ allReduceMs: fitted.allReduceMs * factor }),
    ];
    for (const change of changes) {
      for (const factor of [0.8, 1.25]) expect(meanError(runs, { ...fitted, ...change(factor) })).toBeGreaterThan(least);
    }
  });

  testWithTraces("puts the A100 as far behind the H100 as an older engine was measured to", () => {
    const rows = readCsv("splitwise-perf/perf_model.csv").filter((row) => row["model"] === "llama2-70b" && row["tensor_parallel"] === "2" && row["batch_size"] === "1");
    const stepMs = (hardware: string): number => {
      const times = rows.filter((row) => row["hardware"] === hardware).map((row) => Number(row["token_time"])).toSorted((a, b) => a - b);
      return times[times.length >> 1]!;
    };
    const [a100, h100] = [serviceTimes("A100-80GB", "llama2-70b").stepBaseMs, serviceTimes("H100-80GB", "llama2-70b").stepBaseMs];
    const older = [stepMs("a100-80gb") / a100, stepMs("h100-80gb") / h100];
    // It took 1.2 to 1.4 times as long as today's engines do, on both.
    expect(Math.min(...older)).toBeGreaterThan(1.2);
    expect(Math.max(...older)).toBeLessThan(1.4);
    expect(older[0]! / older[1]!).toBeCloseTo(1, 1);
  });

  testWithTraces("lets work that is not tokens follow the memory bandwidth, as training jobs were measured to", () => {
    const speeds = JSON.parse(readTrace("gavel-throughputs/simulation_throughputs.json")) as Record<string, Record<string, { null: number }>>;
    const ratios = Object.keys(speeds["p100"]!)
      .filter((job) => job.endsWith(", 1)"))
      .map((job) => speeds["v100"]![job]!.null / speeds["p100"]![job]!.null)
      .toSorted((a, b) => a - b);
    expect(ratios.length).toBe(26);
    const median = (ratios[12]! + ratios[13]!) / 2;
    expect(workSpeed("V100-16GB") / workSpeed("P100") / median).toBeCloseTo(1, 1);
  });
});

test("the table names every measured run", () => {
  const { checked } = JSON.parse(readFileSync(TABLE, "utf8")) as Table;
  expect(Object.keys(checked)).toEqual(VLLM_RUNS.map(({ name }) => name));
});
