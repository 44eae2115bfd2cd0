/** What the parts of a table's panel share. */

import { el } from "./dom.js";
import { clearNotice, notice, page } from "./page.js";

/** Calls the table, then shows what has changed; gives whether it was done. */
export async function callTable(what, json = undefined, method = "POST") {
  const { table } = page;
  clearNotice("table-notice");
  try {
    await table.call(method, what, json);
    await table.refresh();
    return true;
  } catch (failure) {
    if (page.table === table) notice("table-notice", failure);
    return false;
  }
}

export function button(words, label, onclick) {
  return el("button", { type: "button", class: "link", "aria-label": label, onclick }, words);
}
