// Faults of real processes: started by `npm run test:faults` (test/faults/real/main.mjs), one at a time.
import base from "./jest.config.mjs";

export default { ...base, testMatch: ["<rootDir>/test/faults/real/*.faults.ts"], maxWorkers: 1, testTimeout: 120_000 };
