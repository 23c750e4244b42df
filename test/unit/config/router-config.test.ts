import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { loadRouterConfig, RouterConfigError } from "../../../src/config/router-config.js";
import { DEFAULT_CORE_SETTINGS } from "../../../src/core/settings.js";

let directory = "";
beforeAll(() => {
  directory = mkdtempSync(path.join(tmpdir(), "gpu-router-config-"));
});
afterAll(() => rmSync(directory, { recursive: true }));

function load(text: string): ReturnType<typeof loadRouterConfig> {
  const file = path.join(directory, "router.yaml");
  writeFileSync(file, text);
  return loadRouterConfig(file, {});
}

describe("time-outs by what requests are for", () => {
  test("come in seconds and go on in milliseconds", () => {
    const { core } = load('request_router: { timeouts: { inference/5: { waiting: 0.5, answering: 2 }, "*": { total: 60, starting: 0 } } }');
    expect(core.timeouts).toEqual({ "inference/5": { waitingMs: 500, answeringMs: 2_000 }, "*": { totalMs: 60_000, startingMs: 0 } });
  });

  test.each(["{ inference/6: { waiting: 1 } }", "{ Inference: { waiting: 1 } }", "{ inference: { sleeping: 1 } }", "{ inference: { waiting: -1 } }"])("such as %s are refused with the key's name", (timeouts) => {
    expect(() => load(`request_router: { timeouts: ${timeouts} }`)).toThrow(/timeouts/);
  });
});

describe("how long agents are waited for", () => {
  test("is less than a second by default, but for what must not run twice: that waits for the lease, 1 % and the time to stop", () => {
    const { core, agentTerms } = load("{}");
    expect(Math.max(core.nodeLostAfterMs, core.reconnectGraceMs) + agentTerms.heartbeatIntervalMs / 10 + 50).toBeLessThan(1_000);
    expect(core.fencedAfterMs).toBe(agentTerms.leaseMs * 1.01 + 2_000);
    expect(load("agents: { lease: 3, stop_allowance: 0.5 }").core.fencedAfterMs).toBe(3_530);
  });

  test("leaves room for three heartbeats", () => {
    expect(() => load("agents: { node_lost_after: 0.7 }")).toThrow(/node_lost_after/);
    expect(() => load("agents: { heartbeat_interval: 5, node_lost_after: 20, lease: 10 }")).toThrow(/lease/);
  });
});

describe("what strategies are told", () => {
  test("types are mapped to one GPU or to several", () => {
    const { core } = load("gpu: { multi_gpu: { task_specific_mappings: { image_segmentation: gpu_0, text_generation: [gpu_1, GPU-4ff] } } }");
    expect(core.taskMappings).toEqual({ image_segmentation: ["gpu_0"], text_generation: ["gpu_1", "GPU-4ff"] });
  });

  test.each(["{ a: [] }", "{ a: 3 }", '{ a: "" }', "[gpu_0]"])("mappings such as %s are refused with the key's name", (mappings) => {
    expect(() => load(`gpu: { multi_gpu: { task_specific_mappings: ${mappings} } }`)).toThrow(RouterConfigError);
    expect(() => load(`gpu: { multi_gpu: { task_specific_mappings: ${mappings} } }`)).toThrow(/task_specific_mappings/);
  });

  test("hybrid is tuned by the names that the simulator takes; what is left out stays", () => {
    const off = Object.entries(DEFAULT_CORE_SETTINGS.hybrid).map(([name, value]): [string, number | boolean] => [name, typeof value === "boolean" ? !value : value / 2]);
    const { placement, affinity, ...rest } = Object.fromEntries(off);
    const keys = Object.entries(rest).map(([name, value]) => `${name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)}: ${value}`);
    const all = load(`load_balancer: { place_models: ${placement}, prefix_affinity: ${affinity}, hybrid: { ${keys.join(", ")} } }`);
    expect(all.core.hybrid).toEqual(Object.fromEntries(off));
    expect(load("load_balancer: { hybrid: { batch_step_share: 0.4 } }").core.hybrid).toEqual({ ...DEFAULT_CORE_SETTINGS.hybrid, batchStepShare: 0.4 });
  });

  test.each(["batch_step_share: 1.1", "batch_kv_headroom: -0.1", "delay_weight: 2", "fixed_slots: 0", "fixed_slots: 2.5", "batch_prefill_ms: -1", "late_exit: 1"])("hybrid with %s is refused with the key's name", (wrong) => {
    expect(() => load(`load_balancer: { hybrid: { ${wrong} } }`)).toThrow(wrong.split(":")[0]);
  });

  test("the headroom of priorities is a share", () => {
    expect(load("load_balancer: { strategy: priority_based, priority_headroom: 0.25 }").core).toMatchObject({ strategy: "priority_based", priorityHeadroom: 0.25 });
    expect(() => load("load_balancer: { priority_headroom: 1.5 }")).toThrow(/priority_headroom/);
  });
});

test("times that are sent to agents are whole milliseconds, however they are written: a message takes no fraction", () => {
  const { agentTerms, core } = load("{ agents: { lease: 3.0004, heartbeat_interval: 0.2501, telemetry_interval: 1.0049, node_lost_after: 0.8003 }, request_router: { request_timeout: 1.0005 } }");
  expect(agentTerms).toMatchObject({ leaseMs: 3000, heartbeatIntervalMs: 250, telemetryIntervalMs: 1005, nodeLostAfterMs: 800 });
  expect(core.requestTimeoutMs).toBe(1001);
});
