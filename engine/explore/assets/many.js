// Many texts: the cosine of every pair, and a map.

import { ask, byId, element, fixed, onSubmit, vector } from "./common.js";
import { showSteps } from "./code.js";
import { scatter } from "./draw.js";

let result;
let texts;

export function setUp(about) {
  const buttons = [...byId("many-pooling").querySelectorAll("input")];
  for (const button of buttons) {
    button.checked = button.value === about.pooling;
    button.addEventListener("change", () => result && show());
  }
  const form = byId("many-ask");
  onSubmit(form, byId("many-status"), async () => {
    const lines = byId("texts").value.split("\n").map((line) => line.trim()).filter(Boolean);
    return [lines, await ask("matrix", { texts: lines })];
  }, ([lines, found]) => {
    [texts, result] = [lines, found];
    show();
    return `${texts.length} texts`;
  });
  form.requestSubmit();
}

const pooling = () => byId("many-pooling").querySelector("input:checked").value;

function show() {
  const { cosines, points, shares } = result[pooling()];
  const heads = texts.map((text, i) => element("th", { scope: "col", title: text }, `${i + 1}`));
  const rows = texts.map((text, i) => {
    const cells = cosines[i].map((value, j) => {
      const cell = element("td", {}, fixed(value, 2));
      cell.style.setProperty("--near", `${Math.max(0, value) * 40}%`);
      cell.addEventListener("pointerenter", () => explain(i, j));
      return cell;
    });
    const name = element("span", { className: "cut" }, `${i + 1} ${text}`);
    return element("tr", {}, element("th", { scope: "row", title: text }, name), ...cells);
  });
  const head = element("tr", {}, element("th", { scope: "col" }, "Text"), ...heads);
  byId("matrix").replaceChildren(
    element("caption", {}, `Cosines, ${pooling()} pooling`),
    element("thead", {}, head),
    element("tbody", {}, ...rows),
  );
  scatter(byId("scatter"), points, texts, `The texts on a plane, ${pooling()} pooling`);
  const share = fixed(100 * (shares[0] + shares[1]), 0);
  byId("scatter-about").textContent =
    "Principal components (PCA): the two directions in which these vectors differ most, " +
    `${share} % of all differences. model.py has no part in this map.`;
  explain(0, Math.min(1, texts.length - 1));
}

function explain(i, j) {
  const { cosines, first } = result[pooling()];
  const products = [0, 1].map((d) => `(${fixed(first[i][d])} × ${fixed(first[j][d])})`);
  showSteps(byId("many"), [
    ["pool", "pooled_SD[s] =", `each text is pooled by ${pooling()}`],
    ["normalize", "return",
      `unit vectors: ${i + 1} is ${vector(first[i])}, ${j + 1} is ${vector(first[j])}; `,
      `the dot product is their cosine: ${products.join(" + ")} + … = ${fixed(cosines[i][j])}`],
  ]);
}
