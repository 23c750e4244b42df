// What the project depends on: pinned, used, and licensed.
import { expect, test } from "@jest/globals";
import { filesLike, linesOf, read } from "./files.js";

interface Manifest {
  readonly scripts: Readonly<Record<string, string>>;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly optionalDependencies: Readonly<Record<string, string>>;
  readonly devDependencies: Readonly<Record<string, string>>;
}
const manifest = JSON.parse(read("package.json")) as Manifest;
const lock = JSON.parse(read("package-lock.json")) as { readonly packages: Readonly<Record<string, { readonly resolved?: string; readonly integrity?: string; readonly link?: boolean }>> };
const runtime = { ...manifest.dependencies, ...manifest.optionalDependencies };
const everything = { ...runtime, ...manifest.devDependencies };

test("every version is exact: the same commit installs the same code", () => {
  expect(Object.entries(everything).filter(([, version]) => !/^\d+\.\d+\.\d+$/.test(version))).toEqual([]);
});

test("the lock file works with any registry, and every package in it has a checksum", () => {
  const packages = Object.entries(lock.packages).filter(([name]) => name !== "");
  expect(packages.filter(([, { resolved }]) => resolved !== undefined).map(([name]) => name)).toEqual([]);
  expect(packages.filter(([, { integrity }]) => integrity === undefined).map(([name]) => name)).toEqual([]);
});

/** Used by others than our imports, and by whom. */
const USED_BY: Readonly<Record<string, readonly [file: string, word: string]>> = {
  "@bufbuild/buf": ["package.json", "buf generate"],
  "@bufbuild/protoc-gen-es": ["buf.gen.yaml", "protoc-gen-es"],
  "@swc/core": ["package-lock.json", '"@swc/core"'],
  "@swc/jest": ["jest.config.mjs", "@swc/jest"],
  "@types/node": ["tsconfig.json", '"node"'],
  jest: ["package.json", "node_modules/jest/bin/jest.js"],
  oxlint: ["package.json", "oxlint --deny-warnings"],
  typescript: ["package.json", "tsc -p"],
};

function imports(files: readonly string[]): ReadonlySet<string> {
  const names = files.flatMap((file) => [...read(file).matchAll(/(?<![.\w])(?:from|import|require)\s*\(?\s*["']((?:@[\w.-]+\/)?[\w.-]+)/g)].map(([, name]) => name ?? ""));
  return new Set(names);
}

test("every dependency is used", () => {
  const imported = imports([...filesLike(/^(src|gen|test|scripts)\/.*\.(ts|mjs)$/), ...filesLike(/^[^/]+\.(mjs|cjs)$/)]);
  const unused = Object.keys(everything).filter((name) => {
    const [file, word] = USED_BY[name] ?? [];
    return !imported.has(name) && !(file && word && read(file).includes(word));
  });
  expect(unused).toEqual([]);
});

test("what src imports is a dependency of the product, not of its development", () => {
  const foreign = [...imports(filesLike(/^(src|gen)\/.*\.ts$/))].filter((name) => name !== "node" && !name.startsWith(".") && !(name in runtime));
  expect(foreign).toEqual([]);
});

test("every contract from elsewhere carries its licence and is named in NOTICE", () => {
  const theirs = filesLike(/^proto\/.*\.proto$/).filter((file) => !file.startsWith("proto/gpurouter/"));
  expect(theirs.length).toBeGreaterThan(0);
  for (const file of theirs) {
    const head = linesOf(file).slice(0, 20).join("\n");
    expect({ file, licence: /Licensed under the Apache License, Version 2\.0/.test(head), copyright: /Copyright \d{4}/.test(head) }).toEqual({ file, licence: true, copyright: true });
    const folder = `${file.split("/").slice(0, 3).join("/")}/`;
    expect(read("NOTICE")).toContain(folder);
  }
  expect(read("LICENSE")).toContain("Apache License");
});
