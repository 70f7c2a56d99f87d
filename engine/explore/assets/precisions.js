// The same text in float32, int16 and int8.

import { ask, bar, byId, fillTable, onSubmit } from "./common.js";
import { showSteps } from "./code.js";

const LOWEST = -14; // the exponent at which a bar ends

export function setUp(currentText) {
  onSubmit(byId("precisions-ask"), byId("precisions-status"), async () => {
    const { precisions } = await ask("precisions", { text: currentText() });
    show(precisions);
    return "Measured";
  });
}

const power = (value) => value.toExponential(1).replace("-", "−");

const logarithmic = (value) =>
  bar(Math.max(0, 1 - Math.log10(Math.max(value, 1e-16)) / LOWEST), power(Math.max(0, value)));

function show(found) {
  const rows = found.map(({ name, angle, largest }) => [name, logarithmic(angle), logarithmic(largest)]);
  fillTable(byId("errors"), "Errors", ["Precision", "1 − cosine", "Largest difference"], rows);
  showSteps(byId("precisions"), [
    ["linear", "y_TO = x_TI", `this product, with W and x in ${found.map(({ name }) => name).join(", ")}: the vectors differ by at most ${found.map(({ largest }) => power(largest)).join(", ")}`],
  ]);
}
