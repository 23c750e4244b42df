// The numbers of NVML's interface that the probe relies on, against the facts taken from NVML's own header.
import { readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect } from "@jest/globals";
import koffi from "koffi";
import { CLOCK_EVENT_REASONS } from "../../../../src/agent/probes/clock-event-reasons.js";
import { MEMORY_V2_VERSION, nvmlLayouts } from "../../../../src/agent/probes/nvml-layouts.js";
import { nvmlCodeName } from "../../../../src/agent/probes/nvml-return-codes.js";
import { testWith } from "./requirement.js";
import { hasNvmlFacts, MISSING_TRACES, NVML_FACTS, rowsOf } from "./traces.js";

const test = testWith(hasNvmlFacts, MISSING_TRACES);
const facts = (file: string): readonly (readonly string[])[] => rowsOf(readFileSync(path.join(NVML_FACTS, file), "utf8"));

describe("structures", () => {
  const layouts = new Map(Object.entries(nvmlLayouts(koffi)));

  test("have the sizes and offsets of x86-64", () => {
    let checked = 0;
    for (const [struct = "", field, offset, size] of facts("nvml_struct_layout_x86_64.csv")) {
      const layout = layouts.get(struct);
      if (!layout) continue;
      const member = layout.members?.[field ?? ""];
      const found = field ? [field, member?.offset, member?.type.size] : ["", undefined, layout.size];
      expect([struct, ...found]).toEqual([struct, field, offset ? Number(offset) : undefined, Number(size)]);
      checked += 1;
    }
    // All of ours but version 1 of the process figures, which the facts no longer list: 6 structures with 21 fields.
    expect(checked).toBe(27);
  });

  test("that the facts no longer list have the layout of their time", () => {
    expect(layouts.get("nvmlProcessInfo_v1_t")).toMatchObject({ size: 16, members: { usedGpuMemory: { offset: 8 } } });
  });

  test("carry the version number of NVML's macro", () => {
    const [, , , version] = facts("nvml_struct_layout_x86_64.csv").find(([name]) => name === "nvmlMemory_v2 macro") ?? [];
    expect(MEMORY_V2_VERSION).toBe(Number(version));
  });
});

test("every return code has NVML's name", () => {
  const codes = facts("nvml_return_codes.csv").filter(([name]) => name !== "NVML_SUCCESS");
  expect(codes.length).toBeGreaterThan(30);
  for (const [name, value] of codes) expect(`NVML_ERROR_${nvmlCodeName(Number(value))}`).toBe(name);
});

test("every clock event reason has NVML's bit", () => {
  const reasons = facts("nvml_clock_event_reasons.csv").filter(([name]) => name !== "nvmlClocksEventReasonNone");
  const bits = reasons.map(([name = "", value]) => {
    const words = name.replace(/^nvmlClocks(Event|Throttle)Reason/, "").replaceAll(/(?<=[a-z])(?=[A-Z])/g, "_").toLowerCase();
    // nvidia-smi has a plural here that NVML's name lacks.
    return [words.replace("display_clock_setting", "display_clocks_setting"), Number(value)];
  });
  expect(Object.fromEntries(bits)).toEqual(CLOCK_EVENT_REASONS);
});
