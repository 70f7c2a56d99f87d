// The documentation page: puts the details of each operation into the list that the server wrote.

import { ask, askJSON, byId, curl, element, whenAllowed } from "./common.js";
import { exampleOf, typeOf } from "./schemas.js";

const JSON_TYPE = "application/json";
const MOST_SHOWN = 20_000; // characters of a response
const SHOWN_HEADERS = ["content-type", "x-pooling", "x-truncated-texts", "retry-after"];

async function showDetails() {
  const api = await askJSON("/openapi.json");
  for (const place of document.querySelectorAll("details[data-path]")) {
    const { method, path } = place.dataset;
    const shared = api.paths[path].parameters ?? [];
    const operation = api.paths[path][method];
    const parameters = [...shared, ...(operation.parameters ?? [])];
    const details = [...about(operation, parameters), tryIt(place, operation, parameters)];
    place.querySelector("div").replaceChildren(...details);
  }
  const linked = byId(decodeURIComponent(location.hash.slice(1)));
  if (linked) {
    linked.open = true;
    linked.scrollIntoView();
  }
}

const bodySchema = (operation) => operation.requestBody?.content[JSON_TYPE].schema;

function about(operation, parameters) {
  const found = [];
  if (operation.description) found.push(element("p", {}, operation.description));
  const body = bodySchema(operation);
  if (body) found.push(element("h3", {}, "Request body"), block(typeOf(body), "Request body"));
  const [content] = Object.values(operation.responses["200"].content ?? {});
  if (content) {
    found.push(element("h3", {}, "Response"), block(typeOf(content.schema), "Response"));
  }
  const errors = Object.entries(operation.responses).filter(([status]) => status !== "200");
  if (errors.length) {
    const terms = errors.flatMap(([status, { description }]) => [
      element("dt", {}, status),
      element("dd", {}, description),
    ]);
    found.push(element("h3", {}, "Errors"), element("dl", {}, ...terms));
  }
  return found;
}

/** Text with its line breaks; it can be scrolled with the keyboard. */
function block(text, name) {
  const made = element("pre", { tabIndex: 0 }, element("code", {}, text));
  made.setAttribute("role", "group");
  made.setAttribute("aria-label", name);
  return made;
}

function tryIt(place, operation, parameters) {
  const fields = parameters.map((parameter) => parameterField(place.id, parameter));
  const schema = bodySchema(operation);
  const body = schema && element("textarea", { id: `${place.id}-body`, rows: 8, spellcheck: false });
  const form = element("form", {}, element("h3", {}, "Try it"));
  for (const { label, input } of fields) form.append(label, input);
  if (body) {
    body.value = JSON.stringify(exampleOf(schema), null, 2);
    form.append(element("label", { htmlFor: body.id }, "Body"), body);
  }
  const button = element("button", {}, "Send");
  const result = element("div", {});
  result.setAttribute("aria-live", "polite");
  form.append(button, result);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    const values = fields.map(({ parameter, input }) => [parameter, input.value]);
    const { method, path } = place.dataset;
    result.replaceChildren(...(await send(method.toUpperCase(), pathWith(path, values), body?.value)));
    button.disabled = false;
  });
  return form;
}

function parameterField(prefix, parameter) {
  const id = `${prefix}-${parameter.name}`;
  const where = `${parameter.name} (${parameter.in}${parameter.required ? "" : ", optional"})`;
  const choices = parameter.schema.enum;
  const input = choices
    ? element("select", { id }, ...choices.map((one) => element("option", {}, one)))
    : element("input", { id, value: parameter.required ? "any" : "", autocomplete: "off" });
  const label = element("label", { htmlFor: id }, where);
  if (parameter.description) label.append(` - ${parameter.description}`);
  return { parameter, label, input };
}

/** The path with the values of its parameters. Names of models keep their slashes. */
function pathWith(path, values) {
  const query = new URLSearchParams();
  let filled = path;
  for (const [parameter, value] of values) {
    if (parameter.in === "query" && value) query.set(parameter.name, value);
    const encoded = encodeURIComponent(value).replaceAll("%2F", "/");
    filled = filled.replace(`{${parameter.name}}`, () => encoded);
  }
  return query.size ? `${filled}?${query}` : filled;
}

/** Sends the request; elements that show the command and the response. */
async function send(method, path, body) {
  const began = performance.now();
  const shown = [block(curl(path, method, body), "Command")];
  try {
    const response = await ask(path, method, body);
    const text = pretty(await response.text());
    const took = Math.round(performance.now() - began);
    const headers = SHOWN_HEADERS.filter((name) => response.headers.has(name));
    const lines = headers.map((name) => `${name}: ${response.headers.get(name)}`);
    shown.push(element("p", { className: response.ok ? "" : "problem" }, `${response.status}, ${took} ms`));
    shown.push(block(`${lines.join("\n")}\n\n${text}`, "Response"));
  } catch (error) {
    shown.push(element("p", { className: "problem" }, error.message));
  }
  return shown;
}

/** JSON with a line for each field, arrays of numbers on one line; other text as it is. */
function pretty(text) {
  let shown = text;
  try {
    const numbers = /\[\s*(-?[\d.eE+-]+(?:,\s*-?[\d.eE+-]+)*)\s*\]/g;
    shown = JSON.stringify(JSON.parse(text), null, 2).replace(
      numbers, (_, inside) => `[${inside.replace(/\s+/g, " ")}]`,
    );
  } catch {
    // not JSON
  }
  const left = shown.length - MOST_SHOWN;
  return left > 0 ? `${shown.slice(0, MOST_SHOWN)}\n… ${left} more characters` : shown;
}

whenAllowed(showDetails);
