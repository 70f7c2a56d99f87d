// The tokens of the text, and what is added up to make the vector of one.

import { byId, choice, choose, element, fixed, onChoice, quoted, vector } from "./common.js";
import { showSteps } from "./code.js";

let result;

export function show(found) {
  result = found;
  const items = result.tokens.map((token, i) => {
    const input = element("input", { type: "radio", name: "token", value: `${i}` });
    input.addEventListener("change", () => choose({ token: i }));
    const id = element("span", { className: "hint" }, `${result.ids[i]}`);
    return element("label", {}, input, element("span", { className: "token" }, token, id));
  });
  byId("token-list").replaceChildren(...items);
  byId("tokens-about").textContent = about();
}

function about() {
  const { tokens, count, cut, prompt } = result;
  const words = [`${count} tokens, with their numbers in the vocabulary.`];
  if (cut) words.push(`The model's limit left out ${cut} more.`);
  if (count > tokens.length) {
    words.push(`The first ${tokens.length} are shown; sums and means are over all.`);
  }
  if (prompt) words.push(`The first ${prompt} are the model's prompt, which is not pooled.`);
  return words.join(" ");
}

onChoice(() => {
  const { token } = choice;
  byId("token-list").querySelectorAll("input")[token].checked = true;
  const { word, type, position, sum, mean, deviation } = result.embedding;
  const name = quoted(result.tokens[token]);
  const [total, center, wide] = [sum[token][0], mean[token], deviation[token]];
  const part = (total - center) / wide;
  showSteps(byId("tokens"), [
    ["embed", "word_VD",
      `${name} is row ${result.ids[token]} of the word table: ${vector(word[token], 3)}`],
    ["embed", "token_type_D", `plus the same for every token: ${vector(type, 3)}`],
    ["embed", "position_PD",
      `plus row ${token} of the position table: ${vector(position[token], 3)}`],
    ["layer_norm", "centred_TD =",
      "the first number, less the mean of all: ",
      `${fixed(total, 4)} − ${fixed(center, 4)} = ${fixed(total - center, 4)}`],
    ["layer_norm", "/= np.sqrt",
      "divided by the standard deviation: ",
      `${fixed(total - center, 4)} / ${fixed(wide, 4)} = ${fixed(part)}`],
    ["embed", "return layer_norm",
      `scaled and shifted, this goes into layer 1: ${vector(result.first[0][token])}`],
  ]);
});
