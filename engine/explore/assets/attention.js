// All heads as small maps, one of them large, and how a weight is computed.

import {
  ask, bar, byId, choice, choose, element, fillTable, fixed, latest, onChoice, quoted, vector,
} from "./common.js";
import { showSteps } from "./code.js";
import { heatMap } from "./draw.js";

const MOST = 6; // tokens of the table
let result;
let text;
let map;
let shown; // the layer and head of the large map

export function show(found, itsText) {
  [result, text, shown] = [found, itsText, undefined];
  const size = result.tokens.length;
  const small = (layer, head) => {
    const input = element("input", { type: "radio", name: "head", value: `${layer}.${head}` });
    input.setAttribute("aria-label", `layer ${layer}, head ${head}`);
    input.addEventListener("change", () => choose({ layer, head }));
    const canvas = element("canvas", { width: size, height: size });
    return element("label", { title: `layer ${layer}, head ${head}` }, input, canvas);
  };
  const rows = result.attention.map((heads, n) =>
    element("div", { className: "heads" }, ...heads.map((_, h) => small(n + 1, h + 1))));
  byId("heads").replaceChildren(...rows);
  paintAll();
  map = heatMap(byId("map"), result.tokens, result.tokens, (token, other) => choose({ token, other }));
}

/** The small maps: one pixel a weight, so that a page of 144 heads is drawn at once. */
export function paintAll() {
  if (!result) return;
  const [red, green, blue] = getComputedStyle(byId("heads")).color.match(/\d+/g).map(Number);
  const size = result.tokens.length;
  const maps = result.attention.flat();
  byId("heads").querySelectorAll("canvas").forEach((canvas, index) => {
    const weights = maps[index].flat();
    const most = Math.max(1, ...weights);
    const image = new ImageData(size, size);
    weights.forEach((weight, at) => {
      image.data.set([red, green, blue, 255 * Math.sqrt(weight / most)], 4 * at);
    });
    canvas.getContext("2d").putImageData(image, 0, 0);
  });
}

byId("heads").addEventListener("keydown", (event) => {
  const step = { ArrowUp: -1, ArrowDown: 1 }[event.key]; // left and right are the browser's
  if (!step) return;
  event.preventDefault();
  const layer = Math.max(1, Math.min(result.attention.length, choice.layer + step));
  choose({ layer });
  chosenInput().focus();
});

const chosenInput = () => byId("heads").querySelector(`[value="${choice.layer}.${choice.head}"]`);

const loadHead = latest(async (signal, layer, head) => {
  const detail = await ask("head", { text, layer, head }, signal);
  choose({ detail: { ...detail, text, layer, head } });
}, 80);

onChoice(() => {
  const { layer, head, token, other, detail } = choice;
  const weights = result.attention[layer - 1][head - 1];
  chosenInput().checked = true;
  if (shown !== `${layer}.${head}`) {
    shown = `${layer}.${head}`;
    byId("map-title").textContent = `Layer ${layer}, head ${head}`;
    map.fill(weights);
    loadHead(layer, head);
  }
  map.mark(token, other);
  const [from, to] = [quoted(result.tokens[token]), quoted(result.tokens[other])];
  const weight = weights[token][other] / result.weight_one;
  byId("cell").textContent = `${from} gathers ${fixed(100 * weight, 1)} % from ${to}`;
  showRow(weights[token], from);
  const known = detail?.text === text && detail.layer === layer && detail.head === head;
  showSteps(byId("attention"), known ? steps(detail, from, to) : undefined);
});

function largest(row) {
  return row.map((weight, j) => [weight / result.weight_one, j]).sort((a, b) => b[0] - a[0]);
}

function showRow(row, from) {
  const most = largest(row).slice(0, MOST);
  const rows = most.map(([weight, j]) => [result.tokens[j], bar(weight, fixed(weight))]);
  fillTable(byId("gathers"), `${from} gathers most from`, ["Token", "Weight"], rows);
}

function steps(detail, from, to) {
  const { token, other } = choice;
  const { width, q, k, scores, largest: most, sums } = detail;
  const scale = 1 / Math.sqrt(width);
  const score = scores[token][other];
  const less = score - most[token];
  const power = Math.exp(less);
  const row = largest(result.attention[choice.layer - 1][choice.head - 1][token]);
  const parts = row.slice(0, 3).map(([value, j]) => `${fixed(value, 2)} v(${result.tokens[j]})`);
  const query = vector(q[token].slice(0, 4));
  const key = vector(k[other].slice(0, 4));
  return [
    ["attention", "q_TD =",
      `the query of ${from}, what it looks for: ${query}, ${width} numbers in this head`],
    ["attention", "k_TD =", `the key of ${to}, what it offers: ${key}`],
    ["attention_weights", "scale =", `1 / √${width} = ${fixed(scale, 4)}`],
    ["attention_weights", "return softmax",
      "the score, scale times the dot product of query and key: ",
      `${fixed(scale, 4)} × ${fixed(score / scale)} = ${fixed(score)}`],
    ["softmax", "-= scores",
      `less the largest score of ${from}: `,
      `${fixed(score)} − ${fixed(most[token])} = ${fixed(less)}`],
    ["softmax", "np.exp", `exp(${fixed(less)}) = ${fixed(power, 4)}`],
    ["softmax", "/= scores",
      `divided by the sum of the row: ${fixed(power, 4)} / ${fixed(sums[token])} = `,
      `${fixed(power / sums[token], 4)}, the weight of this cell`],
    ["attend", "gathered_HLK =", `${from} gathers ${parts.join(" + ")} + …, where v are values`],
  ];
}
