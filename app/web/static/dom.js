/** DOM building. Text always goes in as text nodes: nothing a server says is ever parsed as HTML. */

export const byId = (id) => document.getElementById(id);

/**
 * Make an element. `attributes` maps names to values: a function is an event listener (`onclick`),
 * `null` and `false` are left out, `true` is an empty attribute. Children are nodes or text.
 */
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) setAttribute(node, name, value);
  node.append(...present(children));
  return node;
}

export function fill(node, ...children) {
  node.replaceChildren(...present(children));
  return node;
}

function setAttribute(node, name, value) {
  if (value === null || value === undefined || value === false) return;
  if (typeof value === "function") node.addEventListener(name.slice(2), value);
  else node.setAttribute(name, value === true ? "" : String(value));
}

function present(children) {
  return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false && child !== "");
}
