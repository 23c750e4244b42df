// Decides whether a message may pass: the contract's own rules through protovalidate, then a rule for what the contract
// cannot say. Called by the handlers, once per message, before anything is translated.
import { create, type DescField, type DescMessage, type Message, type MessageShape } from "@bufbuild/protobuf";
import type { Path } from "@bufbuild/protobuf/reflect";
import { createValidator, Violation } from "@bufbuild/protovalidate";
import { RouterService } from "../../gen/gpurouter/v1/router_pb.js";
import { ApiError } from "./outcomes.js";
import { compileSureRules } from "./sure-rules.js";

/** Adds to `found` what is wrong with `message`, which lies at `at` in the request that was sent. */
export type Rule<M> = (message: M, at: Path, found: Violation[]) => void;

export function violation(path: Path, allowed: string): Violation {
  return new Violation(allowed, "gpurouter.allowed", path, [], false);
}

/** Adds a violation of one field. */
export function refuse(found: Violation[], at: Path, field: DescField, allowed: string): void {
  found.push(violation([...at, field], allowed));
}

/** Throws ApiError "invalid_argument" naming every field at fault, unless `message` may pass. */
export type Validate = <D extends DescMessage>(schema: D, message: MessageShape<D>, rule?: Rule<MessageShape<D>>) => void;

/** Makes the check. Takes about 50 ms: it compiles the rules of RouterService before the first call needs them. */
export function createValidation(): Validate {
  const validator = createValidator();
  const sure = new Map<DescMessage, (message: Message) => boolean>();
  for (const { input } of RouterService.methods) {
    validator.validate(input, create(input));
    const rules = compileSureRules(input);
    if (rules) sure.set(input, rules);
  }
  const violationsOf = <D extends DescMessage>(schema: D, message: MessageShape<D>): Violation[] => {
    if (sure.get(schema)?.(message) === true) return [];
    const result = validator.validate(schema, message);
    if (result.kind === "error") throw result.error;
    return result.kind === "invalid" ? result.violations : [];
  };
  return (schema, message, rule) => {
    const violations = violationsOf(schema, message);
    rule?.(message, [], violations);
    if (violations.length > 0) throw new ApiError({ kind: "invalid_argument", violations });
  };
}
