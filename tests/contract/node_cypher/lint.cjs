// Reads query files as JSON ({files: [{file, text, parameters}], labels, relationshipTypes}) from standard input, and prints what
// Neo4j's own parser says against them. The names of functions and procedures are those of a Neo4j without plugins.
const language = require("@neo4j-cypher/language-support");

const ERROR = 1; // of the language server protocol: 2 is a warning
const WITHOUT_PLUGINS = (catalogue) =>
  Object.fromEntries(
    Object.entries(catalogue).map(([version, known]) => [
      version,
      Object.fromEntries(Object.entries(known).filter(([name]) => !/^(apoc|gds|genai)\./.test(name))),
    ]),
  );
const functions = WITHOUT_PLUGINS(language.testData.mockSchema.functions);
const procedures = WITHOUT_PLUGINS(language.testData.mockSchema.procedures);
const { files, labels, relationshipTypes } = JSON.parse(require("node:fs").readFileSync(0, "utf8"));

const told = [];
for (const { file, text, parameters } of files) {
  const schema = { functions, procedures, labels, relationshipTypes, parameters, defaultLanguage: "CYPHER 5" };
  const found = language.lintCypherQuery(text, schema);
  for (const { severity, message, range } of found.diagnostics ?? found) {
    told.push({ file, line: range.start.line + 1, column: range.start.character + 1, error: severity === ERROR, message });
  }
}
process.stdout.write(JSON.stringify(told));
