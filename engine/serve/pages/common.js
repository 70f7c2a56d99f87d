// What both pages use. Text is only ever put into text nodes, so that no name and no message of
// the server can become HTML.

let token = ""; // only here: never in storage, in a cookie or in a URL

export const byId = (id) => document.getElementById(id);

/** A new element with those properties, and children that are elements or text. */
export function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

/** Runs `load` now if the server needs no token, and whenever a token is entered. */
export function whenAllowed(load) {
  const tryLoad = async () => {
    byId("problem").textContent = "";
    try {
      await load();
    } catch (error) {
      byId("problem").textContent = error.message;
    }
  };
  byId("token-form").addEventListener("submit", (event) => {
    event.preventDefault();
    token = byId("token").value.trim();
    tryLoad();
  });
  if (document.body.dataset.token === "none") tryLoad();
}

/** A response of this server, whatever its status. A body is sent as JSON. */
export function ask(path, method = "GET", body = undefined) {
  const headers = {};
  if (token) headers.authorization = `Bearer ${token}`;
  if (body !== undefined) headers["content-type"] = "application/json";
  return fetch(path, { method, headers, body });
}

/** The JSON of a response; an Error with the server's message if its status is not 200. */
export async function askJSON(path, method, body) {
  const response = await ask(path, method, body);
  const text = await response.text();
  if (response.ok) return JSON.parse(text);
  let message = text;
  try {
    const { error, errors } = JSON.parse(text);
    message = error?.message ?? errors?.[0]?.message ?? error;
  } catch {
    // not JSON: perhaps of a proxy
  }
  throw new Error(`${response.status}: ${String(message).slice(0, 500)}`);
}

/** The command that sends the same request; with a place for the token, never the token. */
export function curl(path, method = "GET", body = undefined) {
  const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
  const words = ["curl", quoted(location.origin + path)];
  if (document.body.dataset.token === "needed") words.push('-H "Authorization: Bearer $TOKEN"');
  if (body !== undefined) words.push("-d", quoted(body));
  else if (method !== "GET") words.push("-X", method);
  return words.join(" ");
}
