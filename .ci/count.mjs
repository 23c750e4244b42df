// Prints "passed failed skipped" of a jest report, and what failed and how the kinds of test fared on stderr.
// Arguments: the report, the exit code of jest. A run that reports nothing, or fails without saying what, counts as a failure.
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";

const [file, exitCode] = process.argv.slice(2);
if (!existsSync(file)) {
  console.error(`jest ended with ${exitCode} and left no report`);
  console.log("0 1 0");
} else {
  const report = JSON.parse(readFileSync(file, "utf8"));
  const kinds = new Map();
  for (const suite of report.testResults) {
    const kind = path.relative(process.cwd(), suite.name).split(path.sep).slice(0, 2).join("/");
    const row = kinds.get(kind) ?? { passed: 0, failed: 0, skipped: 0, ms: 0 };
    for (const { status, fullName } of suite.assertionResults) {
      row[status === "passed" ? "passed" : status === "failed" ? "failed" : "skipped"] += 1;
      if (status === "failed") console.error(`failed: ${path.relative(process.cwd(), suite.name)}: ${fullName}`);
    }
    // A file that could not be run has no tests to count.
    if (suite.status === "failed" && suite.assertionResults.every(({ status }) => status !== "failed")) {
      row.failed += 1;
      console.error(`failed: ${path.relative(process.cwd(), suite.name)} could not be run`);
    }
    row.ms += suite.endTime - suite.startTime;
    kinds.set(kind, row);
  }
  const sum = { passed: 0, failed: 0, skipped: 0 };
  for (const [kind, row] of [...kinds].sort()) {
    for (const key of Object.keys(sum)) sum[key] += row[key];
    console.error(`${kind.padEnd(16)} ${row.passed} passed, ${row.failed} failed, ${row.skipped} skipped, ${(row.ms / 1000).toFixed(1)} s`);
  }
  if (sum.passed + sum.failed === 0) console.error("no test was run");
  const unexplained = sum.failed === 0 && (exitCode !== "0" || sum.passed === 0) ? 1 : 0;
  console.log(`${sum.passed} ${sum.failed + unexplained} ${sum.skipped}`);
}
