/** Arrow-up in the field brings back what the player wrote before; arrow-down goes forward again. */

/** `words()` gives what was written, oldest first. What is being written is kept as the newest. */
export function setUpRecall(field, words) {
  let at = null;
  let draft = "";

  field.addEventListener("input", () => (at = null));
  field.addEventListener("keydown", (event) => {
    const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (!step || event.shiftKey || event.altKey || event.ctrlKey || event.metaKey || event.isComposing) return;
    const known = words();
    if (!isAtEdge(field, step) || (at === null && step > 0) || !known.length) return;
    event.preventDefault();
    if (at === null) [draft, at] = [field.value, known.length];
    at = Math.max(0, Math.min(known.length, at + step));
    put(field, at === known.length ? draft : known[at]);
    if (at === known.length) at = null;
  });
}

/** Within a text of several lines the arrows move the cursor. */
function isAtEdge({ value, selectionStart, selectionEnd }, step) {
  if (selectionStart !== selectionEnd) return false;
  return step < 0 ? !value.slice(0, selectionStart).includes("\n") : !value.slice(selectionEnd).includes("\n");
}

function put(field, text) {
  field.value = text;
  field.setSelectionRange(text.length, text.length);
}
