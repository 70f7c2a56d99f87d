// The lines of model.py beside each panel, and the formulas with the numbers of your text. A formula
// and the line that computes it are linked both ways.

import { element } from "./common.js";

/** Puts the functions that a panel names beside it. */
export function showSource(section, source) {
  const names = section.dataset.source.split(" ");
  const blocks = names.map((name) => {
    const { first, lines } = source[name];
    const rows = lines.map((text, i) => {
      const number = first + i;
      const row = element("span", { className: "line", id: `${section.id}-L${number}` });
      Object.assign(row.dataset, { in: name, link: number });
      row.append(element("span", { className: "number" }, `${number}`), `${text}\n`);
      return row;
    });
    return element("code", {}, ...rows, "\n");
  });
  const listing = element("pre", { tabIndex: 0 }, ...blocks);
  listing.setAttribute("role", "group");
  listing.setAttribute("aria-label", `Source of ${names.join(", ")}`);
  const caption = element("figcaption", {}, "model.py");
  section.append(element("figure", {}, caption, listing));
  for (const kind of ["pointerover", "focusin"]) {
    section.addEventListener(kind, (event) => light(section, event.target.closest("[data-link]")));
  }
}

function light(section, found) {
  for (const one of section.querySelectorAll("[data-link]")) {
    one.classList.toggle("lit", one.dataset.link === found?.dataset.link);
  }
}

/**
 * Shows steps: the function and a piece of the line that computes it, and the numbers as text.
 * Without steps, those that are shown are out of date, and look so until new ones come.
 */
export function showSteps(section, steps) {
  const list = section.querySelector(".steps");
  list.ariaBusy = `${!steps}`;
  if (!steps) return;
  for (const row of section.querySelectorAll(".line a")) row.replaceWith(row.textContent);
  const items = steps.map(([name, piece, ...texts], i) => {
    const row = [...section.querySelectorAll(`.line[data-in="${name}"]`)]
      .find((one) => one.textContent.includes(piece));
    if (!row) {
      console.error(`model.py has no ${piece} in ${name}`);
      return element("li", {}, ...texts);
    }
    const { link } = row.dataset;
    const id = `${section.id}-step-${i}`;
    const number = row.querySelector(".number");
    number.replaceChildren(element("a", { href: `#${id}`, title: "its numbers" }, link));
    const back = element("a", { href: `#${row.id}` }, `line ${link}`);
    const item = element("li", { id }, back, " ", element("span", {}, ...texts));
    item.dataset.link = link;
    return item;
  });
  list.replaceChildren(...items);
}
