import { describe, expect, test } from "@jest/globals";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { Command } from "commander";

import { addStudyOptions, studyOf, type StudyOptions } from "../../../../src/cli/simulate/study-options.js";
import { DEFAULT_CORE_SETTINGS } from "../../../../src/core/settings.js";
import { NO_FAULTS } from "../../../../src/sim/faults.js";
import { fleetPlan, loadList, policyList, seedList } from "../../../../src/cli/simulate/option-values.js";
import { openScenario } from "../../../../src/cli/simulate/scenario-file.js";
import { NO_OVERRIDE, settingOption, settingsText } from "../../../../src/cli/simulate/settings-option.js";
import { sloOption, withSlo } from "../../../../src/cli/simulate/slo-option.js";
import { plannedGpus } from "../../../../src/sim/fleets.js";
import { overridden } from "../../../../src/sim/overrides.js";

describe("lists", () => {
  test("policies are each there once, in their order", () => {
    expect(policyList("round_robin,hybrid,round_robin@1/4,round_robin").map(({ name }) => name)).toEqual(["round_robin", "hybrid", "round_robin@1/4"]);
    expect(() => policyList("round_robin,")).toThrow(/no policy/);
  });

  test("loads rise, each once", () => {
    expect(loadList("2,0.5,2")).toEqual([0.5, 2]);
    for (const wrong of ["", "0", "-1", "1,,2", "2000", "x"]) expect(() => loadList(wrong)).toThrow(/multiples of the scenario/);
  });

  test("seeds are a range or a list", () => {
    expect(seedList("3..5")).toEqual([3, 4, 5]);
    expect(seedList("7")).toEqual([7]);
    expect(seedList("7,1,7")).toEqual([7, 1]);
    for (const wrong of ["", "5..3", "1..5000", "1.5", "a"]) expect(() => seedList(wrong)).toThrow(/seeds such as/);
  });
});

describe("fleets", () => {
  test.each([
    ["L40S", [{ kind: "L40S", gpus: 1, nodes: 1 }]],
    ["8xH100-80GB", [{ kind: "H100-80GB", gpus: 8, nodes: 1 }]],
    ["2x8xL40S, 4xT4", [{ kind: "L40S", gpus: 8, nodes: 2 }, { kind: "T4", gpus: 4, nodes: 1 }]],
  ])("%s", (text, groups) => {
    expect(fleetPlan(text)).toEqual({ groups });
  });

  test("a cut of openb", () => expect(fleetPlan("openb:64")).toEqual({ openbGpus: 64 }));

  test.each(["", "8xH1000", "0xL40S", "8 L40S", "9999x9999xL40S", "openb:0"])("%j is refused", (text) => {
    expect(() => fleetPlan(text)).toThrow(/no group of GPUs|at most/);
  });
});

describe("settings", () => {
  test("are named as in configuration, and add up", () => {
    const both = settingOption("max_wait_ms=5", settingOption("hybrid.late_exit=false"));
    expect(both).toEqual({ settings: { maxWaitMs: 5 }, hybrid: { lateExit: false } });
  });

  test("of every section are set one by one, and typed as they were", () => {
    const typed = ["preemption.min_run_ms=5", "preemption.enabled=false", "batch.split=false", "health.slow_ratio=1.2"];
    const all = typed.reduce((before, text) => settingOption(text, before), NO_OVERRIDE);
    expect(all).toMatchObject({ preemption: { minRunMs: 5, enabled: false }, batch: { split: false }, health: { slowRatio: 1.2 } });
    expect(settingsText(all)).toEqual(typed);
    expect(overridden(DEFAULT_CORE_SETTINGS, all)).toMatchObject({ preemption: { ...DEFAULT_CORE_SETTINGS.preemption, minRunMs: 5, enabled: false }, health: { ...DEFAULT_CORE_SETTINGS.health, slowRatio: 1.2 } });
  });

  test("weights and task mappings add up too, and are typed as they were", () => {
    const typed = ["weights.usage=1", "weights.type_compatibility=0", "task_specific_mappings.fine-tuning=gpu_0,node-a-gpu-1", "hybrid.late_exit=false"];
    const all = typed.reduce((before, text) => settingOption(text, before), settingOption("max_wait_ms=5"));
    expect(all).toMatchObject({ weights: { usage: 1, type_compatibility: 0 }, taskMappings: { "fine-tuning": ["gpu_0", "node-a-gpu-1"] } });
    expect(new Set(settingsText(all))).toEqual(new Set([...typed, "max_wait_ms=5"]));
  });

  test("of weights one must count", () => {
    const names = ["usage", "priority", "type_compatibility", "performance"];
    const none = names.reduce((before, name) => settingOption(`weights.${name}=0`, before), NO_OVERRIDE);
    expect(() => settingOption("weights.health=0", none)).toThrow(/At least one of weights.usage/);
  });

  test.each([
    ["weights.speed=1", /one of usage, priority, type_compatibility, performance, health/],
    ["weights.usage=-1", /at least 0/],
    ["weights.usage=", /weights.NAME=NUMBER/],
    ["task_specific_mappings.batch=gpu_0,,gpu_1", /TYPE=GPU,GPU/],
    ["load_balancer.weights=1", /weights.usage, .*task_specific_mappings.TYPE, /],
  ])("%s is refused, with what there is", (text, message) => {
    expect(() => settingOption(text)).toThrow(message);
  });

  test.each(["strategy=hybrid", "hybrid.nothing=1", "weights=1", "max_wait_ms", "=", "hybrid.late_exit=1", "max_wait_ms=", "max_wait_ms=soon"])("%s is refused", (text) => {
    expect(() => settingOption(text)).toThrow(/NAME=VALUE|takes/);
  });
});

describe("an SLO for everybody", () => {
  test("changes what is given, of those who have one", () => {
    const scenario = withSlo(openScenario("synthetic-main"), sloOption("first=500ms,total=4x"));
    const slos = scenario.parts.flatMap(({ users }) => users.map(({ slo }) => slo));
    expect(slos.filter((slo) => slo === null)).toHaveLength(1);
    for (const slo of slos) if (slo !== null) expect(slo).toEqual({ firstOutputMs: 500, totalFloorMs: 2000, totalFactor: 4 });
  });

  test.each(["", "first", "first=x", "total=3", "total=0.5x", "last=2s"])("%j is refused", (text) => {
    expect(() => sloOption(text)).toThrow(/first=2s|duration/);
  });
});

describe("scenarios", () => {
  const directory = mkdtempSync(path.join(tmpdir(), "gpu-router-scenario-"));
  const file = path.join(directory, "mine.yaml");
  const open = (text: string): ReturnType<typeof openScenario> => {
    writeFileSync(file, text);
    return openScenario(file);
  };
  const PARTS = "parts: [{ name: chat, source: synthetic-conv, users: [{ name: web, models: { mistral-7b: 1 } }] }]";

  test("a file has the main scenario's ways where it says nothing", () => {
    const scenario = open(`name: mine\nfleet: { groups: [{ kind: L40S, gpus: 4, nodes: 2 }] }\n${PARTS}\n`);
    expect(scenario).toMatchObject({ name: "mine", models: ["mistral-7b"], durationMs: 1_200_000, modelLoadSpeed: 1, floods: [] });
    expect(scenario.parts[0]).toMatchObject({ type: "inference", amount: { kind: "share", share: 1 }, maxWorkMs: Number.POSITIVE_INFINITY, scales: true });
    expect(scenario.parts[0]?.users[0]).toEqual({ name: "web", priority: 3, slo: null, weight: 1, models: { "mistral-7b": 1 } });
    expect(plannedGpus(scenario.fleet)).toBe(8);
  });

  test("a trace of one's own lies beside the file", () => {
    const scenario = open(`name: mine\nfleet: { openb_gpus: 4 }\n${PARTS.replace("synthetic-conv", "file:sub/t.csv")}\n`);
    expect(scenario.parts[0]?.source).toBe(`file:${path.join(directory, "sub/t.csv")}`);
  });

  test("what a trace of one's own is like can be said, where it cannot be found out", () => {
    const part = `{ name: chat, source: "file:t.csv", format: azure, time_unit: ms, grid_seconds: 1, from_minutes: 5, to_minutes: 65, columns: { time: when, input_tokens: in }, model_map: { "GPT-4": llama-3.1-70b, "*": mistral-7b }, users: [{ name: web }] }`;
    const scenario = open(`name: mine\nfleet: { openb_gpus: 4, nodes: nodes.csv, kinds: { A30: A10G } }\nparts: [${part}]\n`);
    expect(scenario.parts[0]).toMatchObject({
      reading: { format: "azure", timeUnit: "ms", gridMs: 1000, fromMs: 300_000, toMs: 3_900_000, columns: { time: "when", inputTokens: "in" } },
      modelMap: { "GPT-4": "llama-3.1-70b", "*": "mistral-7b" },
    });
    expect(scenario.models).toEqual(["llama-3.1-70b", "mistral-7b"]);
    expect(scenario.fleet).toEqual({ openbGpus: 4, nodes: path.join(directory, "nodes.csv"), kinds: { A30: "A10G" } });
  });

  test("what goes wrong can be said, the rest of it is as usual; --no-faults goes over it", () => {
    const scenario = open(`name: mine\nfleet: { openb_gpus: 4 }\nfaults: { stragglers: 0, gpu_failures: 3, flaky: { gpus: 2, error_rate: 0.3 } }\n${PARTS}\n`);
    const faultsOf = (...args: string[]): unknown => {
      const command = addStudyOptions(new Command(), "1").parse(args, { from: "user" });
      return studyOf(command.opts<StudyOptions>(), scenario).conditions.faults;
    };
    expect(faultsOf()).toEqual({ stragglers: 0, slowdown: 1.5, gpuFailures: 3, brokenMs: 120_000, flaky: { gpus: 2, errorRate: 0.3 } });
    expect(faultsOf("--no-faults")).toEqual(NO_FAULTS);
  });

  test.each([
    ["name: mine", /fleet/],
    [`name: mine\nfleet: { openb_gpus: 4 }\nfaults: { stragglers: 2 }\n${PARTS}`, /faults\.stragglers/],
    [`name: mine\nfleet: { openb_gpus: 4 }\nfaults: { failures: 2 }\n${PARTS}`, /faults/],
    [`name: mine\nfleet: { openb_gpus: 4 }\n${PARTS.replace(", models: { mistral-7b: 1 }", "")}`, /says not which models "web" of "chat" asks for/],
    [`name: mine\nfleet: { openb_gpus: 4 }\n${PARTS.replace("name: chat,", "name: chat, model_map: { a: mistral-7b },")}`, /says twice which models/],
    [`name: mine\nfleet: { openb_gpus: 4 }\n${PARTS.replace("name: chat,", "name: chat, from_minutes: 5, to_minutes: 5,")}`, /ends before it begins/],
    [`name: mine\nfleet: { openb_gpus: 4 }\n${PARTS.replace("name: chat,", "name: chat, format: azur,")}`, /format/],
    [`name: mine\nfleet: { openb_gpus: 4 }\n${PARTS.replace("name: chat,", "name: chat, columns: { when: a },")}`, /columns/],
    [`name: mine\nfleet: {}\n${PARTS}`, /either groups or openb_gpus/],
    [`name: mine\nfleet: { openb_gpus: 4 }\n${PARTS.replace("synthetic-conv", "nowhere")}`, /one of azure-conv/],
    [`name: mine\nfleet: { openb_gpus: 4 }\n${PARTS.replace("mistral-7b", "mistral-8b")}`, /"mistral-8b", which is not known: take one of llama/],
    [`name: mine\nfleet: { openb_gpus: 4 }\nspeed: 3\n${PARTS}`, /speed/],
    [`name: mine\nfleet: { openb_gpus: 4 }\nfloods: [{ part: chat, user: app, from_minutes: 1, to_minutes: 2, factor: 3 }]\n${PARTS}`, /flood of "app"/],
    [`name: mine\nfleet: { openb_gpus: 4 }\n${PARTS.replace("name: chat,", "name: chat, amount: { kind: work, ratio: 1, of: [code] },")}`, /part "code"/],
    [`name: mine\nfleet: { openb_gpus: 4 }\n${PARTS.replace("name: chat,", "name: chat, amount: { kind: work, ratio: 1, of: [chat] },")}`, /as much of "chat" as of itself/],
    [`name: mine\nfleet: { openb_gpus: 4 }\n${PARTS.replace(" }] }]", " }] }, { name: chat, source: mooncake, users: [{ name: w, models: { mistral-7b: 1 } }] }]")}`, /two parts with the name "chat"/],
    ["name: [", /not valid YAML/],
  ])("a file that is wrong says where: %s", (text, message) => {
    expect(() => open(text)).toThrow(message);
    expect(() => open(text)).toThrow(/docs\/simulator.md/);
  });

  test("an unknown name lists what there is; the folder is cleaned up", () => {
    rmSync(directory, { recursive: true, force: true });
    expect(() => openScenario("nowhere")).toThrow(/take one of main, .*synthetic-main.*or give a .yaml file/);
    expect(() => openScenario(file)).toThrow(/cannot be read/);
  });
});
