// JSON Schemas for people: as a type in TypeScript's notation, and as an example.

const TEXT = "a cat on a sofa";
const LONG = 60; // characters: longer objects get a line for each field

/** The type that the schema describes; nested lines begin with `indent`. */
export function typeOf(schema, indent = "") {
  const choices = schema.oneOf ?? schema.anyOf;
  if (choices) return choices.map((one) => typeOf(one, indent)).join(" | ");
  if ("const" in schema) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((one) => JSON.stringify(one)).join(" | ");
  const types = [schema.type ?? "any"].flat();
  return types.map((type) => typeNamed(type, schema, indent)).join(" | ") + limits(schema);
}

function typeNamed(type, schema, indent) {
  if (type === "array") {
    const items = typeOf(schema.items ?? {}, indent);
    return items.includes(" ") && !items.startsWith("{") ? `Array<${items}>` : `${items}[]`;
  }
  if (type !== "object" || !schema.properties) return type;
  const fields = Object.entries(schema.properties).map(([name, each]) => {
    const optional = schema.required?.includes(name) ? "" : "?";
    return `${name}${optional}: ${typeOf(each, `${indent}  `)}`;
  });
  const line = `{ ${fields.join(", ")} }`;
  if (line.length <= LONG && !line.includes("\n")) return line;
  return `{\n${fields.map((field) => `${indent}  ${field}\n`).join("")}${indent}}`;
}

function limits({ minimum, maximum, maxItems }) {
  if (maximum !== undefined) return ` (${minimum ?? ""}..${maximum})`;
  return maxItems === undefined ? "" : ` (at most ${maxItems})`;
}

/** A value that fits the schema: of an object only the fields that it must have, and the model. */
export function exampleOf(schema) {
  const choices = schema.oneOf ?? schema.anyOf ?? schema.allOf;
  if (choices) return exampleOf(choices[0]);
  if ("const" in schema) return schema.const;
  if (schema.enum) return schema.enum[0];
  const type = [schema.type].flat()[0];
  if (type === "object") {
    const wanted = Object.entries(schema.properties ?? {}).filter(
      ([name]) => schema.required?.includes(name) || name === "model",
    );
    return Object.fromEntries(wanted.map(([name, each]) => [name, exampleOf(each)]));
  }
  if (type === "array") return [exampleOf(schema.items ?? {})];
  return { string: TEXT, integer: schema.minimum ?? 1, number: 0.5, boolean: true }[type] ?? null;
}
