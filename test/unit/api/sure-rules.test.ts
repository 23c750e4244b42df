import { create, type DescField, type DescMessage, type Message, ScalarType } from "@bufbuild/protobuf";
import { createValidator } from "@bufbuild/protovalidate";
import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { RouteRequestSchema, RouterService, StatusRequestSchema } from "../../../gen/gpurouter/v1/router_pb.js";
import { compileSureRules } from "../../../src/api/sure-rules.js";

/** Lengths and numbers around the bounds that the contract has. */
const LENGTHS = [0, 1, 8, 9, 63, 64, 65, 127, 128, 129, 256, 257, 512, 513, 1_024, 1_025, 2_048, 2_049];
const NUMBERS = [0, 1, 5, 6, 64, 65, 1_000, 60_000, 60_001, 65_536, 65_537, 1_048_577, 16_777_216, 16_777_217, 0xffffffff];
const LONG_NUMBERS = [0n, 1n, 31_536_000_000n, 31_536_000_001n, 0xffffffffffffffffn];

const text = fc.tuple(fc.constantFrom(...LENGTHS), fc.constantFrom("x", "é", "字", "🙂")).map(([length, unit]) => unit.repeat(length));
/** Mostly harmless, so that whole messages are valid often enough. */
const mostly = <T>(usual: T, any: fc.Arbitrary<T>): fc.Arbitrary<T> => fc.oneof({ weight: 30, arbitrary: fc.constant(usual) }, { weight: 1, arbitrary: any });

function scalarOf(field: DescField): fc.Arbitrary<unknown> {
  switch (field.scalar) {
    case ScalarType.STRING:
      return mostly("ok", text);
    case ScalarType.BOOL:
      return fc.boolean();
    case ScalarType.BYTES:
      return fc.uint8Array({ maxLength: 4 });
    case ScalarType.UINT64:
    case ScalarType.FIXED64:
      return mostly(7n, fc.constantFrom(...LONG_NUMBERS));
    default:
      return mostly(3, fc.constantFrom(...NUMBERS));
  }
}

function valueOf(field: DescField): fc.Arbitrary<unknown> | null {
  if (field.message) return field.message.typeName.startsWith("google.") ? null : messageOf(field.message);
  return field.enum ? mostly(1, fc.constantFrom(0, 1, 2, 77)) : scalarOf(field);
}

/** Any message of a type without maps and well-known types, which bring no rules. */
function messageOf(desc: DescMessage): fc.Arbitrary<Message> {
  const fields: { [name: string]: fc.Arbitrary<unknown> } = {};
  const cases = new Map<string, fc.Arbitrary<unknown>[]>();
  for (const field of desc.fields) {
    const value = field.fieldKind === "map" ? null : valueOf(field);
    if (!value) continue;
    if (field.oneof) {
      const name = field.oneof.localName;
      cases.set(name, [...(cases.get(name) ?? []), fc.record({ case: fc.constant(field.localName), value })]);
    } else if (field.fieldKind === "list") {
      fields[field.localName] = mostly<unknown>([], fc.array(value, { maxLength: 3 }));
    } else {
      fields[field.localName] = value;
    }
  }
  for (const [name, choices] of cases) fields[name] = fc.oneof(...choices);
  return fc.record(fields, { requiredKeys: [] }).map((init) => create(desc, init));
}

describe("The sure rules", () => {
  const validator = createValidator();
  const inputs = RouterService.methods.map(({ input }) => ({ input, sure: compileSureRules(input) })).filter(({ sure }) => sure !== null);

  test("know the requests that come by the thousand", () => {
    const known = inputs.map(({ input }) => input);
    expect(known).toContain(RouteRequestSchema);
    expect(known).toContain(StatusRequestSchema);
  });

  test.each(inputs)("never pass a $input.name that protovalidate refuses, and pass most that it does not", ({ input, sure }) => {
    const counts = { valid: 0, passed: 0, refused: 0 };
    fc.assert(
      fc.property(messageOf(input), (message) => {
        const valid = validator.validate(input, message).kind === "valid";
        const passed = sure?.(message) === true;
        if (passed) expect(valid).toBe(true);
        counts.valid += valid ? 1 : 0;
        counts.passed += passed ? 1 : 0;
        counts.refused += valid ? 0 : 1;
      }),
      { numRuns: 2_000 },
    );
    expect(counts.refused).toBeGreaterThan(0);
    expect(counts.passed).toBeGreaterThan(0.9 * counts.valid);
  });

  test("do not judge a list that is one too long, nor a type with a rule of another kind", () => {
    const sure = compileSureRules(RouteRequestSchema);
    const request = (items: number): Message => create(RouteRequestSchema, { modelId: "m", prefixHashes: Array.from({ length: items }, () => 1) });
    expect(sure?.(request(4_096))).toBe(true);
    expect(sure?.(request(4_097))).toBe(false);
    expect(compileSureRules(RouterService.method.explain.input)).toBeNull();
  });
});
