// The page as a whole: asks about the text, and lets each panel show its part of the result.

import { ask, byId, choice, choose, element, fixed, latest, post, problem } from "./common.js";
import { showSource } from "./code.js";
import * as attention from "./attention.js";
import * as layers from "./layers.js";
import * as many from "./many.js";
import * as pair from "./pair.js";
import * as pooling from "./pooling.js";
import * as precisions from "./precisions.js";
import * as tokens from "./tokens.js";

const currentText = () => byId("text").value;
let about;

async function explain(signal) {
  const text = currentText();
  byId("status").textContent = "Computing …";
  const began = performance.now();
  const result = await ask("explain", { text }, signal);
  const took = performance.now() - began;
  tokens.show(result);
  attention.show(result, text);
  layers.show(result, text);
  pooling.show(result, about);
  const last = result.tokens.length - 1;
  choose({ token: Math.min(choice.token, last), other: Math.min(choice.other, last) });
  pair.again();
  byId("status").textContent = `${result.count} tokens, ${fixed(took, 0)} ms`;
}

async function save() {
  const response = await post("saved", { text: currentText() });
  const url = URL.createObjectURL(await response.blob());
  element("a", { href: url, download: "explanation.npz" }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000); // some browsers read it after the click
}

const whenTyped = latest(explain, 250);
const atOnce = latest(explain, 0);

byId("text").addEventListener("input", whenTyped);
byId("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  atOnce();
});
byId("save").addEventListener("click", () => {
  save().catch((error) => byId("status").replaceChildren(problem(error)));
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", attention.paintAll);

try {
  about = await ask("about");
  byId("model").textContent =
    `${about.model}: from a text to a vector of ${about.dim} numbers, ` +
    `through ${about.layers} layers of ${about.heads} heads.`;
  byId("legend").textContent = about.legend;
  for (const section of document.querySelectorAll("[data-source]")) showSource(section, about.source);
  Object.assign(choice, { token: 2, other: 1, layer: Math.ceil(about.layers / 2), head: 1 });
  pair.setUp(about, currentText);
  precisions.setUp(about, currentText);
  await explain();
  many.setUp(about);
} catch (error) {
  byId("status").replaceChildren(problem(error));
}
