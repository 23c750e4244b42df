// The ledger of the kill tests can fail: each thing that it is to find, it finds.
import { expect, test } from "@jest/globals";
import { Ledger } from "./ledger.js";

const COMPLETED = { state: "completed", details: "attempt 1" };
const CLEAN = { lost: [], changed: [], endless: [], unexpected: [], foreign: [] };

function acknowledged(): Ledger {
  const ledger = new Ledger();
  ledger.sent("r");
  ledger.acknowledged("r");
  return ledger;
}

test("one that ended and is told of again in the same way is in order", () => {
  const ledger = acknowledged();
  ledger.hasEndedAs("r", COMPLETED);
  ledger.hasEndedAs("r", { ...COMPLETED });
  expect(ledger.verdict()).toEqual({ ...CLEAN, sent: 1, acknowledged: 1, ended: 1 });
});

test("one that the router forgets after its answer is lost, before its answer it is not", () => {
  const ledger = acknowledged();
  ledger.sent("unanswered");
  ledger.unknown("unanswered");
  ledger.unknown("r");
  expect(ledger.verdict()).toMatchObject({ ...CLEAN, lost: ["r"] });
});

test("a second end, of another state or with other details, is a change", () => {
  for (const second of [{ state: "cancelled", details: "attempt 1" }, { state: "completed", details: "attempt 2" }]) {
    const ledger = acknowledged();
    ledger.hasEndedAs("r", COMPLETED);
    ledger.hasEndedAs("r", second);
    expect(ledger.verdict().changed).toEqual([`r: completed attempt 1, then ${second.state} ${second.details}`]);
  }
});

test("one that never ends is endless", () => {
  expect(acknowledged().verdict()).toMatchObject({ ...CLEAN, endless: ["r"] });
});

test("an end that nobody asked for is unexpected; a cancel that was asked for is not", () => {
  const ledger = acknowledged();
  ledger.hasEndedAs("r", { state: "cancelled", details: "" });
  expect(ledger.verdict().unexpected).toEqual(["r: cancelled "]);
  ledger.cancelAsked("r");
  expect(ledger.verdict().unexpected).toEqual([]);
});

test("one that was never sent is foreign", () => {
  const ledger = acknowledged();
  ledger.hasEndedAs("r", COMPLETED);
  ledger.hasEndedAs("r-2", COMPLETED);
  expect(ledger.verdict()).toMatchObject({ ...CLEAN, foreign: ["r-2"] });
});
