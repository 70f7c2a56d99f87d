// What all panels use. Text is only ever put into text nodes and attributes, never into HTML.

export const byId = (id) => document.getElementById(id);

/** A new element with those properties, and children that are elements or text. */
export function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

/** A table's content: names of columns, and rows whose first cell is a heading. */
export function fillTable(table, caption, names, rows) {
  const heads = names.map((name) => element("th", { scope: "col" }, name));
  const body = rows.map(([first, ...cells]) => element(
    "tr", {}, element("th", { scope: "row" }, first),
    ...cells.map((cell) => element("td", {}, cell)),
  ));
  table.replaceChildren(
    element("caption", {}, caption),
    element("thead", {}, element("tr", {}, ...heads)),
    element("tbody", {}, ...body),
  );
}

/** A horizontal bar of a table, for a share from 0 to 1; with the number as text after it. */
export function bar(share, text) {
  const line = element("span", { className: share < 0 ? "bar less" : "bar" });
  line.style.setProperty("--share", Math.min(1, Math.abs(share)));
  return element("span", { className: "barred" }, line, text);
}

/** A number with so many digits after the point, and a real minus sign, but none before zero. */
export const fixed = (number, digits = 3) =>
  (Number(number.toFixed(digits)) || 0).toFixed(digits).replace("-", "−");

/** The first numbers of a vector, as text. */
export const vector = (numbers, digits = 2) =>
  `(${numbers.map((one) => fixed(one, digits)).join(", ")}, …)`;

export const quoted = (token) => `“${token}”`;

/** The result of this name; an Error with the server's message if there is none. */
export async function ask(name, members = {}, signal = undefined) {
  const response = await post(name, members, signal);
  return response.json();
}

export async function post(name, members, signal) {
  const response = await fetch(`/api/${name}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(members),
    signal,
  });
  if (response.ok) return response;
  const text = await response.text();
  let message = text;
  try {
    message = JSON.parse(text).error;
  } catch {
    // not JSON
  }
  throw new Error(`${response.status}: ${String(message).slice(0, 500)}`);
}

/** A function that asks only once it has not been called for a while; an older result is dropped. */
export function latest(work, wait) {
  let timer;
  let controller;
  return (...values) => {
    clearTimeout(timer);
    controller?.abort();
    timer = setTimeout(() => {
      controller = new AbortController();
      const { signal } = controller;
      work(signal, ...values).catch((error) => {
        if (!signal.aborted) byId("status").replaceChildren(problem(error));
      });
    }, wait);
  };
}

export const problem = (error) => element("span", { className: "problem" }, error.message);

/**
 * When the form is sent: `show(await work())` says in `status` how it went. Of two, the later counts.
 */
export function onSubmit(form, status, work, show) {
  let count = 0;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    count += 1;
    const mine = count;
    status.textContent = "Computing …";
    try {
      const found = await work();
      if (mine === count) status.textContent = show(found);
    } catch (error) {
      if (mine === count) status.replaceChildren(problem(error));
    }
  });
}

// What is chosen: a token, another that it gathers from, a layer and a head, which count from 1.
export const choice = {};
const listeners = [];

export const onChoice = (listener) => listeners.push(listener);

export function choose(changes) {
  Object.assign(choice, changes);
  for (const listener of listeners) listener();
}
