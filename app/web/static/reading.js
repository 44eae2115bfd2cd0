/** How the page looks to this reader: light or dark, and the size of the text. Kept in this browser. */

import { byId } from "./dom.js";

const THEME = "dm.theme";
const SIZE = "dm.size";
const SIZES = ["s", "m", "l", "xl"];

export function setUpReading() {
  byId("theme").value = localStorage.getItem(THEME) ?? "auto";
  byId("theme").addEventListener("change", (event) => keep(THEME, event.target.value, "auto"));
  byId("smaller").addEventListener("click", () => resize(-1));
  byId("larger").addEventListener("click", () => resize(1));
  addEventListener("storage", draw);
  addEventListener("click", ({ target }) => byId("reading").contains(target) || close());
  byId("reading").addEventListener("keydown", onKey);
  draw();
}

/** Esc closes the menu, and stops no turn. */
function onKey(event) {
  if (event.key !== "Escape" || !byId("reading").open) return;
  event.preventDefault();
  close();
  byId("reading").querySelector("summary").focus();
}

function close() {
  byId("reading").open = false;
}

function resize(step) {
  const index = SIZES.indexOf(size()) + step;
  keep(SIZE, SIZES[Math.max(0, Math.min(SIZES.length - 1, index))], "m");
}

function keep(name, value, usual) {
  if (value === usual) localStorage.removeItem(name);
  else localStorage.setItem(name, value);
  draw();
}

function size() {
  const kept = localStorage.getItem(SIZE);
  return SIZES.includes(kept) ? kept : "m";
}

function draw() {
  const root = document.documentElement;
  root.dataset.theme = localStorage.getItem(THEME) ?? "auto";
  root.dataset.size = size();
  byId("smaller").disabled = size() === SIZES[0];
  byId("larger").disabled = size() === SIZES.at(-1);
}
