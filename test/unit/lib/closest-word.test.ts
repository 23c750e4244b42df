import { describe, expect, test } from "@jest/globals";
import { closestWord } from "../../../src/lib/closest-word.js";

describe("the closest word", () => {
  const known = ["port", "host", "grpc_port", "data_dir", "strategy", "hybrid"];

  test.each([
    ["prot", "port"],
    ["hsot", "host"],
    ["grpcPort", "grpc_port"],
    ["data-dir", "data_dir"],
    ["stategy", "strategy"],
    ["hybird", "hybrid"],
    ["HYBRID", "hybrid"],
    ["str", "strategy"],
  ])("to %s is %s", (word, meant) => {
    expect(closestWord(word, known)).toBe(meant);
  });

  test.each(["colour", "x", ""])("to %j is none", (word) => {
    expect(closestWord(word, known)).toBeNull();
  });

  test("of nothing known is none", () => {
    expect(closestWord("port", [])).toBeNull();
  });
});
