// Says quickly of most messages that they surely keep the contract's rules, so that protovalidate, which takes ten times as
// long and leaves much to collect, need only look at the others. Called by `validation.ts`.
//
// The rules come from the same descriptors. What is refused here is merely not sure: protovalidate decides and words it.
import { getOption, hasOption, isFieldSet, ScalarType, type DescEnum, type DescField, type DescMessage, type Message } from "@bufbuild/protobuf";
import {
  EnumRulesSchema,
  field as fieldRules,
  FieldRulesSchema,
  Ignore,
  message as messageRules,
  oneof as oneofRules,
  RepeatedRulesSchema,
  StringRulesSchema,
  UInt32RulesSchema,
  UInt64RulesSchema,
  type FieldRules,
} from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";

type Sure<T> = (value: T) => boolean;
/** A message or a part of it, looked at by name. */
type Values = { readonly [name: string]: unknown };

const ALWAYS = (): boolean => true;

/** A check that says yes only to valid messages of a type; null when a rule of it is not known here. */
export function compileSureRules(desc: DescMessage): Sure<Message> | null {
  const check = compileMessage(desc, new Map());
  return check && ((message) => check(message as unknown as Values));
}

function compileMessage(desc: DescMessage, compiled: Map<DescMessage, Sure<Values> | null>): Sure<Values> | null {
  // The well-known types bring no rules.
  if (desc.typeName.startsWith("google.protobuf.")) return ALWAYS;
  const known = compiled.get(desc);
  if (known !== undefined) return known;
  // A type that holds itself is not worth the trouble.
  compiled.set(desc, null);
  if (hasOption(desc, messageRules) || desc.oneofs.some((oneof) => hasOption(oneof, oneofRules))) return null;
  const checks: Sure<Values>[] = [];
  for (const field of desc.fields) {
    const check = compileField(field, compiled);
    if (!check) return null;
    if (check !== ALWAYS) checks.push(inMessage(field, check));
  }
  const all = (message: Values): boolean => {
    for (const check of checks) if (!check(message)) return false;
    return true;
  };
  compiled.set(desc, checks.length === 0 ? ALWAYS : all);
  return checks.length === 0 ? ALWAYS : all;
}

/** The check of a field's value, applied where the message keeps it. An absent value keeps all rules known here. */
function inMessage({ localName, oneof }: DescField, check: Sure<unknown>): Sure<Values> {
  if (!oneof) return (message) => message[localName] === undefined || check(message[localName]);
  const place = oneof.localName;
  return (message) => {
    const chosen = message[place] as { readonly case: string | undefined; readonly value: unknown };
    return chosen.case !== localName || check(chosen.value);
  };
}

function compileField(field: DescField, compiled: Map<DescMessage, Sure<Values> | null>): Sure<unknown> | null {
  const inner = compileInner(field, compiled);
  if (!inner || !hasOption(field, fieldRules)) return inner;
  const rules = getOption(field, fieldRules);
  if (rules.ignore !== Ignore.UNSPECIFIED || !hasOnly(FieldRulesSchema, rules, [rules.type.case ?? ""])) return null;
  const own = compileRules(rules, field);
  if (!own || inner === ALWAYS) return own;
  return (value) => own(value) && inner(value);
}

/** The check of the messages that lie in a field. */
function compileInner(field: DescField, compiled: Map<DescMessage, Sure<Values> | null>): Sure<unknown> | null {
  if (!field.message) return ALWAYS;
  const check = compileMessage(field.message, compiled);
  if (!check || check === ALWAYS || field.fieldKind === "message") return check as Sure<unknown> | null;
  if (field.fieldKind !== "list") return null;
  return (values) => (values as readonly Values[]).every(check);
}

function compileRules({ type }: FieldRules, field: DescField): Sure<unknown> | null {
  switch (type.case) {
    case "string": {
      if (!hasOnly(StringRulesSchema, type.value, ["minLen", "maxLen"])) return null;
      const { minLen, maxLen } = type.value;
      // In characters, of which a UTF-16 string has at most as many as units, and at least half as many.
      const least = minLen <= 1n ? Number(minLen) : 2 * Number(minLen);
      const most = isFieldSet(type.value, StringRulesSchema.field.maxLen) ? Number(maxLen) : Number.POSITIVE_INFINITY;
      return (value) => (value as string).length >= least && (value as string).length <= most;
    }
    case "uint32":
      if (field.scalar !== ScalarType.UINT32 || !hasOnly(UInt32RulesSchema, type.value, ["lte", "gte"])) return null;
      return withinBounds(type.value);
    case "uint64":
      if (field.scalar !== ScalarType.UINT64 || !hasOnly(UInt64RulesSchema, type.value, ["lte", "gte"])) return null;
      return withinBounds(type.value);
    case "enum":
      return hasOnly(EnumRulesSchema, type.value, ["definedOnly"]) && field.enum ? definedIn(field.enum) : null;
    case "repeated": {
      if (!hasOnly(RepeatedRulesSchema, type.value, ["maxItems"])) return null;
      const most = Number(type.value.maxItems);
      return (value) => (value as readonly unknown[]).length <= most;
    }
    case undefined:
      return ALWAYS;
    default:
      return null;
  }
}

interface Bounds {
  readonly lessThan: { readonly case: string | undefined; readonly value?: number | bigint | undefined };
  readonly greaterThan: { readonly case: string | undefined; readonly value?: number | bigint | undefined };
}

function withinBounds({ lessThan, greaterThan }: Bounds): Sure<unknown> {
  const most = lessThan.value ?? Number.POSITIVE_INFINITY;
  const least = greaterThan.value ?? 0;
  return (value) => (value as number | bigint) >= least && (value as number | bigint) <= most;
}

function definedIn({ value: values }: DescEnum): Sure<unknown> {
  return (value) => values[value as number] !== undefined;
}

/** Whether nothing of `rules` is set but fields of these names. */
function hasOnly<D extends DescMessage>(schema: D, rules: Message, names: readonly string[]): boolean {
  return schema.fields.every((field) => names.includes(field.localName) || !isFieldSet(rules, field));
}
