// `--set hybrid.batch_step_share=0.5`: settings of the core by the names that they have there, in snake_case, weights and task mappings as in the
// configuration. Knows them from the defaults.
import { InvalidArgumentError } from "commander";

import { DEFAULT_CORE_SETTINGS } from "../../core/settings.js";
import type { SettingsOverride } from "../../sim/overrides.js";

export const NO_OVERRIDE: SettingsOverride = { settings: {}, hybrid: {} };

const MAPPINGS = "task_specific_mappings";
/** Settings that belong together, which may be set one by one. */
const SECTIONS = ["hybrid", "preemption", "batch", "health"] as const;
const WEIGHTS = Object.keys(DEFAULT_CORE_SETTINGS.weights);

/** Adds one NAME=VALUE to those before it. Throws commander's error when the name or the value is not one. */
export function settingOption(text: string, before: SettingsOverride = NO_OVERRIDE): SettingsOverride {
  const [, scope = "", key = "", value = ""] = /^(?:([a-z_]+)\.)?([a-z0-9_-]+)=(.*)$/.exec(text) ?? [];
  const section = SECTIONS.find((each) => each === scope);
  if (section) return { ...before, [section]: { ...before[section], ...known(DEFAULT_CORE_SETTINGS[section], key, value) } };
  switch (scope) {
    case "":
      return { ...before, settings: { ...before.settings, ...known(DEFAULT_CORE_SETTINGS, key, value) } };
    case "weights":
      return { ...before, weights: withWeight({ ...before.weights }, key, value) };
    case MAPPINGS:
      return { ...before, taskMappings: { ...before.taskMappings, [key]: gpuNames(value) } };
    default:
      throw noSuchName();
  }
}

/** The settings as they are typed. */
export function settingsText(override: SettingsOverride): string[] {
  const { settings, weights = {}, taskMappings = {} } = override;
  const typed = (of: object, prefix: string, name = snakeCase): string[] => Object.entries(of).map(([key, value]) => `${prefix}${name(key)}=${String(value)}`);
  return [...typed(settings, ""), ...SECTIONS.flatMap((section) => typed(override[section] ?? {}, `${section}.`)), ...typed(weights, "weights."), ...typed(taskMappings, `${MAPPINGS}.`, String)];
}

function known(defaults: object, key: string, value: string): Readonly<Record<string, number | boolean>> {
  const [name, usual] = Object.entries(defaults).find(([each]) => snakeCase(each) === key) ?? [];
  if (name === undefined || (typeof usual !== "number" && typeof usual !== "boolean")) throw noSuchName();
  const parsed = typeof usual === "boolean" ? { true: true, false: false }[value] : numberOf(value);
  if (parsed === undefined || Number.isNaN(parsed)) throw new InvalidArgumentError(`${key} takes ${typeof usual === "boolean" ? "true or false" : "a number"}.`);
  return { [name]: parsed };
}

function withWeight(before: Readonly<Record<string, number>>, name: string, value: string): Readonly<Record<string, number>> {
  const weight = numberOf(value);
  if (!WEIGHTS.includes(name) || !(weight >= 0 && weight < Number.POSITIVE_INFINITY)) throw new InvalidArgumentError(`Give weights.NAME=NUMBER, at least 0, with one of ${WEIGHTS.join(", ")}.`);
  const weights = { ...before, [name]: weight };
  if (WEIGHTS.every((each) => weights[each] === 0)) throw new InvalidArgumentError(`At least one of ${WEIGHTS.map((each) => `weights.${each}`).join(", ")} must be above 0.`);
  return weights;
}

function gpuNames(value: string): string[] {
  const names = value.split(",").map((each) => each.trim());
  if (names.includes("")) throw new InvalidArgumentError(`Give ${MAPPINGS}.TYPE=GPU,GPU with GPUs by their ids or as gpu_0, gpu_1.`);
  return names;
}

function noSuchName(): InvalidArgumentError {
  const plain = (of: object, prefix: string): string[] =>
    Object.entries(of).flatMap(([name, value]) => (typeof value === "number" || typeof value === "boolean" ? [`${prefix}${snakeCase(name)}`] : []));
  const names = [...SECTIONS.flatMap((section) => plain(DEFAULT_CORE_SETTINGS[section], `${section}.`)), ...plain(DEFAULT_CORE_SETTINGS.weights, "weights."), `${MAPPINGS}.TYPE`, ...plain(DEFAULT_CORE_SETTINGS, "")];
  return new InvalidArgumentError(`Give NAME=VALUE with one of ${names.join(", ")}.`);
}

function numberOf(value: string): number {
  return value.trim() === "" ? Number.NaN : Number(value);
}

function snakeCase(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
