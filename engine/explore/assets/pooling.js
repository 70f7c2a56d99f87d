// What each pooling takes of the last states, and the two vectors that come of it.

import { bar, byId, choice, element, fillTable, fixed, onChoice } from "./common.js";
import { showSteps } from "./code.js";
import { strip } from "./draw.js";

let result;

export function show(found, about) {
  result = found;
  const { tokens, shares, prompt, pooled } = result;
  const others = about.after_pooling.filter((kind) => kind !== "Normalize");
  byId("pooling-about").textContent = [
    `${about.model} pools by ${about.pooling}.`,
    `For this text the two vectors have a cosine of ${fixed(result.cls_mean_cosine)}.`,
    ...others.map((kind) => `Its module ${kind} follows, which is not shown here.`),
  ].join(" ");
  const most = Math.max(...shares.map(Math.abs));
  const rows = tokens.map((token, i) => [
    token,
    bar(shares[i] / most, `${fixed(100 * shares[i], 1)} %`),
    bar(i === prompt ? 1 : 0, i === prompt ? "100 %" : "0 %"),
  ]);
  fillTable(byId("shares"), "What each token gives", ["Token", "mean", "cls"], rows);
  byId("strips").replaceChildren(...Object.entries(pooled).map(([name, values]) => {
    const largest = 3 * Math.sqrt(values.reduce((sum, one) => sum + one * one, 0) / values.length);
    const label = `the ${values.length} numbers of the ${name} vector`;
    const picture = strip(values, largest, label);
    return element("div", { className: "labelled" }, element("span", {}, name), picture);
  }));
  showSteps(byId("pooling"), steps());
}

onChoice(() => {
  byId("shares").querySelectorAll("tbody tr").forEach((row, i) => {
    row.classList.toggle("on", i === choice.token);
  });
});

function steps() {
  const { column, prompt, pooled } = result;
  const numbers = column.slice(prompt);
  const few = numbers.slice(0, 4).map((one) => fixed(one, 2)).join(" + ").replaceAll("+ −", "− ");
  const more = numbers.length > 4 ? " + …" : "";
  const first = pooled.mean[0];
  const length = Math.hypot(...pooled.mean);
  return [
    ["mean_pool", "return", `the first number: (${few}${more}) / ${numbers.length} = ${fixed(first)}`],
    ["cls_pool", "return", `the first number: ${fixed(numbers[0])}, that of the first token`],
    ["normalize", "length_S1 =", `the length of the mean vector: √(${fixed(first)}² + …) = ${fixed(length)}`],
    ["normalize", "return",
      "the first number of the unit vector: ",
      `${fixed(first)} / ${fixed(length)} = ${fixed(first / length, 4)}`],
  ];
}
