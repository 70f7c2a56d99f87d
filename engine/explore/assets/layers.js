// The states of a token at all depths, and what the two halves of a layer add to it.

import {
  ask, byId, choice, choose, element, fillTable, fixed, latest, onChoice, quoted, vector,
} from "./common.js";
import { showSteps } from "./code.js";
import { paths } from "./draw.js";

let result;
let text;
let drawn; // the token of the picture and the table

export function show(found, itsText) {
  [result, text, drawn] = [found, itsText, undefined];
  const layers = result.attention.map((_, n) => element("option", { value: `${n + 1}` }, `${n + 1}`));
  byId("layer").replaceChildren(...layers);
  const [first, second] = result.path_shares;
  byId("path-about").textContent =
    "The picture has the two directions in which the states differ most, " +
    `${fixed(100 * (first + second), 0)} % of all differences.`;
}

byId("layer").addEventListener("change", () => choose({ layer: Number(byId("layer").value) }));

const loadWords = latest(async (signal, token) => {
  const { words } = await ask("words", { text, token }, signal);
  showDepths(token, words.map((each) => each.map(([word]) => word).join(" · ")));
}, 150);

function showDepths(token, words) {
  const rows = result.norms.map((norms, depth) => [
    depth ? `after layer ${depth}` : "embeddings", fixed(norms[token], 2), words[depth] ?? "…",
  ]);
  const name = quoted(result.tokens[token]);
  fillTable(byId("depths"), `The state of ${name}`, ["Depth", "Length", "Nearest words"], rows);
}

onChoice(() => {
  const { layer, token, detail } = choice;
  byId("layer").value = `${layer}`;
  if (drawn !== token) {
    drawn = token;
    const lines = result.tokens.map((_, i) => result.path.map((points) => points[i]));
    const label = `The way of ${quoted(result.tokens[token])} through the layers, among all tokens`;
    paths(byId("path"), lines, result.tokens, token, label);
    showDepths(token, []);
    loadWords(token);
  }
  const known = detail?.text === text && detail.layer === layer;
  showSteps(byId("layers"), known ? steps(detail) : undefined);
});

function steps({ halves }) {
  const { token, layer } = choice;
  const name = quoted(result.tokens[token]);
  const part = (key) => {
    const { first, length } = halves[key];
    return `${vector(first[token])}, of length ${fixed(length[token], 2)}`;
  };
  return [
    ["encoder_layer", "mixed_TD = attention", `attention gives ${name}: ${part("attention")}`],
    ["encoder_layer", "mixed_TD += x_TD",
      `added to what came into layer ${layer}: ${part("came")}`],
    ["encoder_layer", "x_TD = layer_norm", `normalised: ${part("between")}`],
    ["encoder_layer", "ffn_TD = feed_forward",
      `the feed-forward network makes of that: ${part("feed_forward")}`],
    ["encoder_layer", "return layer_norm",
      `added and normalised, the state after layer ${layer}: ${part("out")}`],
  ];
}
