// `--set hybrid.batch_step_share=0.5`: settings of the core by the names that they have in snake_case. Knows them from the defaults.
import { InvalidArgumentError } from "commander";

import { DEFAULT_CORE_SETTINGS } from "../../core/settings.js";
import type { SettingsOverride } from "../../sim/set-up.js";

export const NO_OVERRIDE: SettingsOverride = { settings: {}, hybrid: {} };

/** Adds one NAME=VALUE to those before it. Throws commander's error when the name or the value is not one. */
export function settingOption(text: string, before: SettingsOverride = NO_OVERRIDE): SettingsOverride {
  const [, scope, key = "", value = ""] = /^(?:(hybrid)\.)?([a-z0-9_]+)=(.*)$/.exec(text) ?? [];
  const known: object = scope === "hybrid" ? DEFAULT_CORE_SETTINGS.hybrid : DEFAULT_CORE_SETTINGS;
  const name = Object.keys(known).find((each) => snakeCase(each) === key);
  const usual: unknown = name === undefined ? undefined : (known as Readonly<Record<string, unknown>>)[name];
  if (name === undefined || name === "strategy" || (typeof usual !== "number" && typeof usual !== "boolean")) {
    throw new InvalidArgumentError(`Give NAME=VALUE with one of ${settingNames().join(", ")}.`);
  }
  const parsed = typeof usual === "boolean" ? { true: true, false: false }[value] : value.trim() === "" ? Number.NaN : Number(value);
  if (parsed === undefined || Number.isNaN(parsed)) throw new InvalidArgumentError(`${key} takes ${typeof usual === "boolean" ? "true or false" : "a number"}.`);
  const entry = { [name]: parsed };
  return scope === "hybrid" ? { ...before, hybrid: { ...before.hybrid, ...entry } } : { ...before, settings: { ...before.settings, ...entry } };
}

function settingNames(): string[] {
  const plain = (of: object, prefix: string): string[] =>
    Object.entries(of).flatMap(([name, value]) => (typeof value === "number" || typeof value === "boolean" ? [`${prefix}${snakeCase(name)}`] : []));
  return [...plain(DEFAULT_CORE_SETTINGS.hybrid, "hybrid."), ...plain(DEFAULT_CORE_SETTINGS, "")];
}

function snakeCase(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
