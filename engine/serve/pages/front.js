// The front page: which models run here, and a box that compares texts.

import { askJSON, byId, curl, element, whenAllowed } from "./common.js";

const MOST_TEXTS = 50; // in the matrix
const FIRST_NUMBERS = 8;

async function showModels() {
  const { result } = await askJSON("/client/v4/accounts/any/ai/models/search");
  const rows = result.map(({ name, tags, properties }) => {
    const values = Object.fromEntries(properties.map((one) => [one.property_id, one.value]));
    const names = element("th", { scope: "row" }, name);
    if (tags.length) names.append(element("span", { className: "hint" }, ` or ${tags.join(", ")}`));
    return element(
      "tr", {}, names,
      element("td", {}, values.output_dimensions),
      element("td", {}, values.precision),
      element("td", {}, `${values.max_input_tokens} tokens`),
    );
  });
  byId("models").replaceChildren(...rows);
  byId("model").replaceChildren(...result.map(({ name }) => element("option", {}, name)));
  showCommand();
}

function showCommand() {
  const body = { input: ["a cat", "a kitten"], model: byId("model").value };
  byId("curl").textContent = curl("/v1/embeddings", "POST", JSON.stringify(body));
}

async function compare() {
  const texts = byId("texts").value.split("\n").map((text) => text.trim()).filter(Boolean);
  if (!texts.length) throw new Error("Type at least one text.");
  if (texts.length > MOST_TEXTS) {
    throw new Error(`${texts.length} texts: this page compares at most ${MOST_TEXTS}.`);
  }
  const began = performance.now();
  const body = { input: texts, model: byId("model").value || null };
  const { data, usage } = await askJSON("/v1/embeddings", "POST", JSON.stringify(body));
  const vectors = data.map((one) => one.embedding);
  showMatrix(texts, vectors);
  showVectors(texts, vectors);
  byId("result").hidden = false;
  const took = Math.round(performance.now() - began);
  return `${texts.length} texts, ${usage.total_tokens} tokens, ${took} ms`;
}

// Vectors have unit length: the dot product is the cosine.
const cosine = (a, b) => a.reduce((sum, number, i) => sum + number * b[i], 0);

const label = (text, i) =>
  element("th", { scope: "row", title: text }, element("span", { className: "cut" }, `${i + 1}  ${text}`));

function showMatrix(texts, vectors) {
  const heads = texts.map((text, i) => element("th", { scope: "col", title: text }, `${i + 1}`));
  const rows = texts.map((text, i) => {
    const cells = vectors.map((other) => {
      const value = cosine(vectors[i], other);
      const cell = element("td", {}, value.toFixed(3));
      cell.style.setProperty("--near", `${Math.max(0, value) * 40}%`);
      return cell;
    });
    return element("tr", {}, label(text, i), ...cells);
  });
  const head = element("tr", {}, element("th", { scope: "col" }, "Text"), ...heads);
  byId("matrix").replaceChildren(element("thead", {}, head), element("tbody", {}, ...rows));
}

function showVectors(texts, vectors) {
  const rows = texts.map((text, i) => {
    const numbers = vectors[i].slice(0, FIRST_NUMBERS).map((number) => number.toFixed(4));
    return element("tr", {}, label(text, i), element("td", {}, `${numbers.join("  ")} …`));
  });
  const about = `First ${FIRST_NUMBERS} of ${vectors[0].length} numbers`;
  const heads = ["Text", about].map((name) => element("th", { scope: "col" }, name));
  const head = element("tr", {}, ...heads);
  byId("vectors").replaceChildren(element("thead", {}, head), element("tbody", {}, ...rows));
}

byId("model").addEventListener("change", showCommand);
byId("try").addEventListener("submit", async (event) => {
  event.preventDefault();
  byId("run").disabled = true;
  byId("status").className = "";
  byId("status").textContent = "Computing …";
  try {
    byId("status").textContent = await compare();
  } catch (error) {
    byId("status").className = "problem";
    byId("status").textContent = error.message;
  }
  byId("run").disabled = false;
});
showCommand();
whenAllowed(showModels);
