// The long tests, most of them end to end: `npm run test:e2e`. One at a time, they measure.
import base from "./jest.config.mjs";

export default { ...base, testMatch: ["<rootDir>/test/**/*.slow.ts"], maxWorkers: 1, testTimeout: 300_000 };
