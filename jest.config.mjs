// Native ESM through swc: no type check here, `npm run types` does that.
export default {
  testEnvironment: "node",
  testMatch: ["<rootDir>/test/**/*.test.ts"],
  extensionsToTreatAsEsm: [".ts"],
  moduleNameMapper: { "^(\\.{1,2}/.*)\\.js$": "$1" },
  transform: {
    "^.+\\.ts$": [
      "@swc/jest",
      { jsc: { target: "es2022", parser: { syntax: "typescript" } }, module: { type: "es6" }, sourceMaps: "inline" },
    ],
  },
  modulePathIgnorePatterns: ["<rootDir>/dist/"],
  // Native ESM in vm contexts is never freed (nodejs/node#63186): recycle workers that have grown.
  workerIdleMemoryLimit: "1GB",
  maxWorkers: 2,
  testTimeout: 30_000,
};
