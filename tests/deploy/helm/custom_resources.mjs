// Validates custom resources with the schemas of their CRDs, and finds fields that these do not have with their types.
// A JSON array on stdin, the faults as a JSON array on stdout.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const folder = process.argv[2];
const require = createRequire(folder + "/");
const ts = require("typescript");
const PACKAGES = {
  "gateway.networking.k8s.io/v1": "@kubernetes-models/gateway-api/gateway.networking.k8s.io/v1",
  "monitoring.coreos.com/v1": "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1",
  "cert-manager.io/v1": "@kubernetes-models/cert-manager/cert-manager.io/v1",
};

const faults = [];
const lines = [];
for (const item of JSON.parse(readFileSync(0, "utf8"))) {
  const name = `${item.kind} ${item.metadata.name}`;
  const path = PACKAGES[item.apiVersion];
  const Kind = path && require(path)[item.kind];
  if (!Kind) {
    faults.push(`${name}: no schema for ${item.apiVersion} ${item.kind}`);
    continue;
  }
  try {
    new Kind(item).validate();
  } catch (error) {
    faults.push(`${name}: ${String(error.message).slice(0, 300)}`);
  }
  lines.push(`({ object: ${JSON.stringify(item)} }) satisfies { object: import("${path}").I${item.kind} };`);
}
faults.push(...unknownFields(lines.join("\n")));
console.log(JSON.stringify(faults));

// The schemas accept unknown fields, which the API server drops; the types do not.
function unknownFields(source) {
  const file = `${folder}/objects.ts`;
  const options = { strict: true, noEmit: true, skipLibCheck: true, types: [], module: ts.ModuleKind.Node16 };
  const host = ts.createCompilerHost(options);
  const { getSourceFile, fileExists } = host;
  host.fileExists = (name) => name === file || fileExists(name);
  host.getSourceFile = (name, ...rest) =>
    name === file ? ts.createSourceFile(name, source, ts.ScriptTarget.ES2022) : getSourceFile(name, ...rest);
  const program = ts.createProgram([file], options, host);
  const found = [...program.getSyntacticDiagnostics(), ...program.getSemanticDiagnostics(program.getSourceFile(file))];
  return found.map((one) => `${source.split("\n")[lineOf(one)].match(/"kind":"\w+"/)?.[0]}: ${ts.flattenDiagnosticMessageText(one.messageText, " ").slice(0, 400)}`);
}

function lineOf(diagnostic) {
  return diagnostic.file.getLineAndCharacterOfPosition(diagnostic.start).line;
}
