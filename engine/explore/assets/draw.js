// Pictures in SVG. Colours come from the style sheet, so that light and dark need no redrawing.

const WIDE = 24; // tokens: so many have large cells

const STEPS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

export function svg(name, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

const cut = (text, most = 10) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

/**
 * A heat map in `place`; `pointed(i, j)` is called for a cell under the pointer or by arrow keys.
 * Returns functions: `fill(values)` shades the cells from 0 to the largest, `mark(i, j)` frames one.
 */
export function heatMap(place, rows, columns, pointed) {
  const size = Math.max(rows.length, columns.length) <= WIDE ? 22 : 13;
  const left = 84;
  const top = 70;
  const at = (i) => i * size + size / 2 + 4;
  const names = [
    ...rows.map((text, i) => svg("text", { class: "row", x: left - 6, y: top + at(i) }, cut(text))),
    ...columns.map((text, j) => {
      const where = `translate(${left + at(j)} ${top - 6}) rotate(-50)`;
      return svg("text", { class: "column", transform: where }, cut(text));
    }),
  ];
  const cells = rows.map((_, i) => columns.map((__, j) => svg("rect", {
    class: "cell", "data-i": i, "data-j": j,
    x: left + j * size, y: top + i * size, width: size - 1, height: size - 1,
  })));
  const frame = svg("rect", { class: "frame", width: size + 1, height: size + 1 });
  const [width, height] = [left + columns.length * size + 50, top + rows.length * size + 2];
  const picture = svg(
    "svg", { width, height, "aria-hidden": "true" }, ...names, ...cells.flat(), frame,
  );
  place.replaceChildren(picture);
  let marked = [0, 0];

  picture.onpointerover = ({ target }) => {
    if (target.dataset?.i) pointed(Number(target.dataset.i), Number(target.dataset.j));
  };
  place.onkeydown = (event) => {
    const step = STEPS[event.key];
    if (!step) return;
    event.preventDefault();
    const clamp = (value, most) => Math.max(0, Math.min(most - 1, value));
    pointed(clamp(marked[0] + step[0], rows.length), clamp(marked[1] + step[1], columns.length));
  };
  return {
    fill(values) {
      const most = Math.max(1e-12, ...values.flat().map(Math.abs));
      values.forEach((row, i) => row.forEach((value, j) => {
        cells[i][j].setAttribute("fill-opacity", (Math.abs(value) / most).toFixed(3));
        cells[i][j].classList.toggle("less", value < 0);
      }));
    },
    mark(i, j) {
      marked = [i, j];
      frame.setAttribute("x", left + j * size - 1);
      frame.setAttribute("y", top + i * size - 1);
      names.forEach((name, n) => name.classList.toggle("on", n === i || n === rows.length + j));
    },
  };
}

/** From numbers of the data to a picture of that width and height, with a margin around it. */
function scale(points, width, height, margin) {
  const spread = (axis) => {
    const all = points.map((point) => point[axis]);
    return [Math.min(...all), Math.max(...all)];
  };
  const [[x0, x1], [y0, y1]] = [spread(0), spread(1)];
  const place = (value, low, high, length) =>
    margin + ((value - low) / Math.max(high - low, 1e-9)) * (length - 2 * margin);
  return ([x, y]) => [place(x, x0, x1, width), height - place(y, y0, y1, height)];
}

/** A picture as wide as its place, so that its text has the size of other text. */
function plot(place, height, label, draw) {
  const width = Math.max(280, Math.min(736, place.clientWidth));
  const view = { viewBox: `0 0 ${width} ${height}`, class: "plot", role: "img", "aria-label": label };
  place.replaceChildren(svg("svg", view, ...draw(width)));
}

/** Numbered points with their names; pointing at one shows the whole name. */
export function scatter(place, points, names, label) {
  const height = 380;
  plot(place, height, label, (width) => {
    const put = scale(points, width, height, 30);
    const taken = [];
    return points.map((point, i) => {
      const [x, y] = put(point);
      const end = x > width / 2;
      let line = y + 4; // of the name: lower, if another name is there
      while (taken.some(([side, other]) => side === end && Math.abs(other - line) < 13)) line += 3;
      taken.push([end, line]);
      const at = { class: end ? "end" : "", x: end ? x - 9 : x + 9, y: line };
      return svg("g", {},
        svg("title", {}, names[i]),
        svg("circle", { class: "point", cx: x, cy: y, r: 5 }),
        svg("text", at, `${i + 1} ${cut(names[i], Math.floor(width / 16))}`));
    });
  });
}

/** A line for each token through its points; that of `chosen` is thick, with the depths beside it. */
export function paths(place, lines, names, chosen, label) {
  const height = 360;
  plot(place, height, label, (width) => {
    const put = scale(lines.flat(), width, height, 24);
    const line = (points, name) =>
      svg("polyline", { class: name, points: points.map((one) => put(one).join()).join(" ") });
    const ends = lines.map((points, i) => {
      const [x, y] = put(points.at(-1));
      const at = { class: x > width - 70 ? "small end" : "small", x, y: y - 3 };
      return svg("g", {}, line(points, "faint"), svg("text", at, cut(names[i])));
    });
    const stops = lines[chosen].map((point, depth) => {
      const [x, y] = put(point);
      return svg("g", {},
        svg("circle", { class: "point", cx: x, cy: y, r: 4 }),
        svg("text", { x: x + 6, y: y + 14 }, `${depth}`));
    });
    return [...ends, line(lines[chosen], "thick"), ...stops];
  });
}

/** Values as the cells of one row, in one colour above 0 and in another below. */
export function strip(values, most, label) {
  const cells = values.map((value, i) => svg("rect", {
    class: value < 0 ? "cell less" : "cell", x: i, y: 0, width: 1.02, height: 1,
    "fill-opacity": Math.min(1, Math.abs(value) / most).toFixed(3),
  }));
  const view = {
    viewBox: `0 0 ${values.length} 1`, preserveAspectRatio: "none", class: "strip",
    role: "img", "aria-label": label,
  };
  return svg("svg", view, ...cells);
}
