// Two texts: which pairs of tokens make their cosine.

import { ask, bar, byId, fillTable, fixed, onSubmit, quoted } from "./common.js";
import { showSteps } from "./code.js";
import { heatMap } from "./draw.js";

export function setUp(about, currentText) {
  const own = about.pooling === "mean" ? "" : `; ${about.model} itself pools by ${about.pooling}`;
  onSubmit(byId("pair-ask"), byId("pair-status"),
    () => ask("compare", { a: currentText(), b: byId("other").value }),
    (found) => {
      show(found);
      const { length } = found.a.tokens;
      const cut = found.a.pooled > length ? `; the first ${length} tokens are shown` : "";
      return `Cosine ${fixed(found.cosine, 4)}, of the two mean-pooled texts${own}${cut}`;
    });
}

/** Compares again: the first text has changed. */
export const again = () => byId("pair-ask").requestSubmit();

function show({ a, b, cosine, contributions, pairs }) {
  const most = Math.max(...pairs.map(([, , value]) => Math.abs(value)));
  const rows = pairs.map(([one, other, value]) => [one, other, bar(value / most, fixed(value, 4))]);
  fillTable(byId("pairs"), "The pairs that give most", ["Your text", "The other", "Gives"], rows);
  const map = heatMap(byId("pair-map"), a.tokens, b.tokens, point);
  map.fill(contributions);

  function point(i, j) {
    map.mark(i, j);
    const value = contributions[i][j];
    const [one, other] = [quoted(a.tokens[i]), quoted(b.tokens[j])];
    const part = `${fixed(value, 4)} of ${fixed(cosine, 4)}`;
    byId("pair-cell").textContent = `${one} and ${other} give ${part}`;
    const lengths = a.length * b.length;
    const count = a.pooled * b.pooled;
    showSteps(byId("pair"), [
      ["mean_pool", "return", `u is the mean of ${a.pooled} states x, and v of ${b.pooled} states y`],
      ["normalize", "length_S1 =", `|u| = ${fixed(a.length)}, |v| = ${fixed(b.length)}`],
      ["normalize", "return",
        `cosine = u · v / (|u| |v|) = Σ x · y / (${a.pooled} × ${b.pooled} × ${fixed(lengths)}); `,
        `for x of ${one} and y of ${other}: ${fixed(value * count * lengths, 2)} / `,
        `${fixed(count * lengths, 2)} = ${fixed(value, 4)}`],
    ]);
  }
  const [i, j] = largest(contributions);
  point(i, j);
}

function largest(rows) {
  const flat = rows.flat();
  const at = flat.indexOf(Math.max(...flat));
  return [Math.floor(at / rows[0].length), at % rows[0].length];
}
