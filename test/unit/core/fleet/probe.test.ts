import { test } from "@jest/globals";
import { ServiceTimes } from "../../../../src/core/estimate/service-times.js";
import { WorkLedger } from "../../../../src/core/fleet/work-ledger.js";
import { seededRandom } from "../../../../src/lib/random.js";
import { requestId } from "../build.js";
import { HiddenEngine, type HiddenRates } from "./hidden-engine.js";

function run(factors: Record<string, HiddenRates>, most: number, marks: number[], sizes: { in: number; out: number }) {
  const ledger = new WorkLedger(new ServiceTimes());
  ledger.register(0, "NVIDIA A100-SXM4-80GB");
  const models = Object.keys(factors);
  const truth: Record<string, HiddenRates> = {};
  for (const m of models) {
    const t = ledger.times.of(m);
    const f = factors[m]!;
    truth[m] = { prefillMsPerToken: t.prefillMsPerToken[0]! * f.prefillMsPerToken, stepBaseMs: t.stepBaseMs[0]! * f.stepBaseMs, stepMsPerRequest: t.stepMsPerRequest[0]! * f.stepMsPerRequest, stepMsPerKvToken: t.stepMsPerKvToken[0]! * f.stepMsPerKvToken };
  }
  const random = seededRandom(5);
  const engine = new HiddenEngine(truth, 1_000_000);
  let running = 0, made = 0, outcomes = 0;
  const say = () => {
    const err = models.map((m) => {
      const t = ledger.times.of(m);
      const r = truth[m]!;
      const at = (n: number, kv: number) => ((t.stepBaseMs[0]! + n * t.stepMsPerRequest[0]! + kv * t.stepMsPerKvToken[0]!) / (r.stepBaseMs + n * r.stepMsPerRequest + kv * r.stepMsPerKvToken)).toFixed(2);
      return `${m}: base ${(t.stepBaseMs[0]! / r.stepBaseMs).toFixed(2)} slope ${(t.stepMsPerRequest[0]! / r.stepMsPerRequest).toFixed(2)} kv ${(t.stepMsPerKvToken[0]! / r.stepMsPerKvToken).toFixed(2)} pre ${(t.prefillMsPerToken[0]! / r.prefillMsPerToken).toFixed(2)} step@1 ${at(1, 500)} @16 ${at(16, 8000)} @32 ${at(32,16000)}`;
    });
    process.stdout.write(`${outcomes}: ${err.join(" | ")}\n`);
  };
  let target = most;
  while (outcomes <= marks.at(-1)!) {
    while (running < target) {
      made += 1;
      const id = `r${made}`;
      const m = models[Math.floor(random() * models.length)]!;
      const inT = Math.round(sizes.in * (0.5 + random()));
      const outT = Math.round(sizes.out * (0.5 + random()));
      const exp = sizes.out;
      ledger.place(0, { requestId: requestId(id), modelId: m, inputTokens: inT, cachedTokens: 0, outputTokens: exp, dueAtMs: Infinity }, engine.nowMs);
      engine.add({ id, modelId: m, inputTokens: inT, outputTokens: outT });
      running += 1;
    }
    for (const { job, measured } of engine.iterate()) {
      ledger.release(0, requestId(job.id), engine.nowMs, measured);
      running -= 1;
      outcomes += 1;
      if (marks.includes(outcomes)) say();
      if (outcomes % 10 === 0) target = 1 + Math.floor(random() * most);
    }
  }
}

test("probe", () => {
  const marks = [10, 30, 50, 100, 200, 400, 1000];
  const all = (f: number): HiddenRates => ({ prefillMsPerToken: f, stepBaseMs: f, stepMsPerRequest: f, stepMsPerKvToken: f });
  for (const [name, f] of [["x3", { a: all(3) }], ["/3", { a: all(1 / 3) }], ["base/2 slope x6", { a: { prefillMsPerToken: 1, stepBaseMs: 0.5, stepMsPerRequest: 6, stepMsPerKvToken: 1 } }], ["two", { a: all(3), b: all(1 / 3) }]] as const) {
    for (const most of [4, 32]) {
      process.stdout.write(`--- ${name} up to ${most}\n`);
      run(f as Record<string, HiddenRates>, most, marks, { in: 100, out: 150 });
    }
  }
});
