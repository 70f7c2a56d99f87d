// The same text in float32, int16 and int8.

import { ask, bar, byId, fillTable, fixed, onSubmit, quoted } from "./common.js";
import { showSteps } from "./code.js";

const LOWEST = -14; // the exponent at which a bar ends

export function setUp(about, currentText) {
  const status = byId("precisions-status");
  onSubmit(byId("precisions-ask"), status, async () => {
    const text = currentText();
    const rows = [];
    for (const name of about.precisions) {
      status.textContent = `Computing in ${name} …`;
      rows.push({ name, ...(await ask("precision", { text, name })) });
    }
    return [text, rows];
  }, ([text, rows]) => {
    show(rows);
    return `Measured for ${quoted(text.length > 40 ? `${text.slice(0, 39)}…` : text)}`;
  });
}

const power = (value) => value.toExponential(1).replace("-", "−");

const logarithmic = (value) =>
  bar(Math.max(0, 1 - Math.log10(Math.max(value, 1e-16)) / LOWEST), power(Math.max(0, value)));

function show(found) {
  const numbers = (some) => some.map((one) => fixed(one, 5)).join("  ");
  const rows = found.map(({ name, first, angle, largest }) =>
    [name, numbers(first), logarithmic(angle), logarithmic(largest)]);
  rows.unshift(["model.py", numbers(found[0].reference), "", ""]);
  const names = ["Precision", "First numbers", "1 − cosine", "Largest difference"];
  fillTable(byId("errors"), "The vector in each precision, and its errors", names, rows);
  showSteps(byId("precisions"), [
    ["linear", "y_TO = x_TI",
      `this product, with W and x in ${found.map(({ name }) => name).join(", ")}: `,
      `the vectors differ by at most ${found.map(({ largest }) => power(largest)).join(", ")}`],
  ]);
}
