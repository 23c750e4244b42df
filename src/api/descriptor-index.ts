// Finds the .proto file behind a name, from the descriptors that generated code carries. Used by `reflection.ts`.
import { toBinary, type DescExtension, type DescFile, type DescMessage, type DescService } from "@bufbuild/protobuf";
import { nestedTypes } from "@bufbuild/protobuf/reflect";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";

/** Everything that a set of services is made of. */
export interface DescriptorIndex {
  /** By path as in an import, such as "gpurouter/v1/router.proto". */
  file(name: string): DescFile | undefined;
  /** By the full name of anything that has one: service, method, message, field, oneof, enum, enum value, extension. */
  fileOfSymbol(symbol: string): DescFile | undefined;
  /** Extensions of the message by their numbers; undefined when no such message is known. */
  extensions(messageName: string): ReadonlyMap<number, DescExtension> | undefined;
  /** A file and all that it imports, directly or not, each as a serialized FileDescriptorProto with its options. */
  withImports(file: DescFile): readonly Uint8Array[];
}

/** Indexes the services' files and all that they import. */
export function createDescriptorIndex(services: readonly DescService[]): DescriptorIndex {
  const files = new Map<string, DescFile>();
  const symbols = new Map<string, DescFile>();
  const extensions = new Map<string, Map<number, DescExtension>>();
  const encoded = new Map<DescFile, Uint8Array>();

  for (const file of importClosure(services.map((service) => service.file))) {
    files.set(file.proto.name, file);
    encoded.set(file, toBinary(FileDescriptorProtoSchema, file.proto));
    for (const symbol of symbolsOf(file)) symbols.set(symbol, file);
    for (const type of nestedTypes(file)) {
      if (type.kind === "message") entry(type.typeName);
      if (type.kind === "extension") entry(type.extendee.typeName).set(type.number, type);
    }
  }

  return {
    file: (name) => files.get(name),
    fileOfSymbol: (symbol) => symbols.get(symbol),
    extensions: (messageName) => extensions.get(messageName),
    withImports: (file) => importClosure([file]).map((each) => encoded.get(each) ?? toBinary(FileDescriptorProtoSchema, each.proto)),
  };

  function entry(messageName: string): Map<number, DescExtension> {
    let numbers = extensions.get(messageName);
    if (!numbers) extensions.set(messageName, (numbers = new Map()));
    return numbers;
  }
}

/** The files and their imports, each once, the files themselves first. */
function importClosure(roots: readonly DescFile[]): DescFile[] {
  const seen = new Map(roots.map((file) => [file.proto.name, file]));
  // A Map that grows while it is walked is walked to its new end.
  for (const file of seen.values()) {
    for (const imported of file.dependencies) if (!seen.has(imported.proto.name)) seen.set(imported.proto.name, imported);
  }
  return [...seen.values()];
}

function* symbolsOf(file: DescFile): Generator<string> {
  for (const service of file.services) {
    yield service.typeName;
    for (const method of service.methods) yield `${service.typeName}.${method.name}`;
  }
  for (const type of nestedTypes(file)) {
    yield type.typeName;
    if (type.kind === "message") yield* membersOf(type);
    if (type.kind === "enum") {
      // The values of an enum live in the scope around it.
      const scope = type.typeName.slice(0, -type.name.length);
      for (const value of type.values) yield `${scope}${value.name}`;
    }
  }
}

function* membersOf(message: DescMessage): Generator<string> {
  for (const { name } of message.fields) yield `${message.typeName}.${name}`;
  for (const { name } of message.oneofs) yield `${message.typeName}.${name}`;
}
