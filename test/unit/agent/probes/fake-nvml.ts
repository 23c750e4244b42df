// Builds what the NVML tests run against: the stand-in library (fixtures/nvml/fake-nvml.c) and the NVML process, compiled from the
// sources as they are now, so that no test runs a stale build.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { transformFileSync } from "@swc/core";
import type { NvmlOptions } from "../../../../src/agent/probes/nvml.js";

const SOURCE = path.resolve("test/fixtures/nvml/fake-nvml.c");
const COMPILERS = ["cc", "gcc", "clang"];

/** The first C compiler that works; undefined without one. */
export const compiler = COMPILERS.find((name) => spawnSync(name, ["--version"], { stdio: "ignore" }).status === 0);
export const MISSING_COMPILER = `a C compiler (${COMPILERS.join(", ")}) for the stand-in of NVML`;

export class FakeNvml {
  readonly #folder: string;
  readonly #process = compileNvmlProcess();
  readonly #faults: string;

  constructor() {
    this.#folder = mkdtempSync(path.join(tmpdir(), "fake-nvml-"));
    this.#faults = path.join(this.#folder, "faults");
    mkdirSync(this.#faults);
    this.#compileLibrary("libnvidia-ml.so.1");
    this.#compileLibrary("libnvidia-ml-old.so.1", "-DOLD_DRIVER");
  }

  /** How to run the probe against it. `settings` as in fake-nvml.c, without "FAKE_NVML_". */
  options(settings: Readonly<Record<string, string>> = {}, old = false): NvmlOptions {
    const environment: NodeJS.ProcessEnv = { ...process.env, FAKE_NVML_FAULTS: this.#faults };
    for (const [name, value] of Object.entries(settings)) environment[`FAKE_NVML_${name}`] = value;
    return {
      library: path.join(this.#folder, old ? "libnvidia-ml-old.so.1" : "libnvidia-ml.so.1"),
      processEntry: this.processEntry,
      environment,
      callTimeoutMs: 1000,
      openTimeoutMs: 10_000,
    };
  }

  get processEntry(): URL {
    return this.#process.entry;
  }

  /** The NVML process where no package is found, as without optional dependencies. */
  processEntryWithoutPackages(): URL {
    const folder = path.join(this.#folder, "bare");
    mkdirSync(folder);
    compileInto(folder);
    writeFileSync(path.join(folder, "package.json"), '{"type":"module"}');
    return pathToFileURL(path.join(folder, "nvml-process.js"));
  }

  /** Turns a fault on; `content` where the fault takes one. */
  raise(fault: string, content = ""): void {
    const written = path.join(this.#folder, "being-written");
    writeFileSync(written, content);
    renameSync(written, path.join(this.#faults, fault));
  }

  /** Turns one fault off, or all. */
  clear(fault?: string): void {
    for (const name of fault === undefined ? readdirSync(this.#faults) : [fault]) rmSync(path.join(this.#faults, name), { force: true });
  }

  /** Resolves when a call is in the middle of hanging. */
  async hanging(): Promise<void> {
    while (!existsSync(path.join(this.#faults, "hanging"))) await delay(5);
  }

  /** The probe, compiled like the process. */
  get probeModule(): URL {
    return new URL("nvml.js", this.processEntry);
  }

  remove(): void {
    rmSync(this.#folder, { recursive: true, force: true });
    this.#process.remove();
  }

  #compileLibrary(name: string, ...flags: readonly string[]): void {
    const args = ["-Wall", "-Wextra", "-Werror", "-O1", "-shared", "-fPIC", ...flags, "-o", path.join(this.#folder, name), SOURCE];
    const { status, stderr } = spawnSync(compiler ?? "cc", args, { encoding: "utf8" });
    if (status !== 0) throw new Error(`fake-nvml.c does not compile:\n${stderr}`);
  }
}

/** The NVML process alone, for the real library. It lies inside the repository, where it finds koffi. */
export function compileNvmlProcess(): { readonly entry: URL; readonly remove: () => void } {
  mkdirSync(".cache", { recursive: true });
  const folder = mkdtempSync(path.resolve(".cache/nvml-process-"));
  compileInto(folder);
  return { entry: pathToFileURL(path.join(folder, "nvml-process.js")), remove: () => rmSync(folder, { recursive: true, force: true }) };
}

function compileInto(into: string): void {
  const sources = path.resolve("src/agent/probes");
  for (const name of readdirSync(sources).filter((file) => /^(nvml|gpu-reading)/.test(file))) {
    const { code } = transformFileSync(path.join(sources, name), {
      jsc: { target: "es2022", parser: { syntax: "typescript" } },
      module: { type: "es6" },
    });
    writeFileSync(path.join(into, name.replace(/\.ts$/, ".js")), code);
  }
}
