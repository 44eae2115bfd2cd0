/**
 * Addresses within the page. They stand behind the `#`, so that no server and no log sees an invitation:
 * `#/characters/ID`, `#/new`, `#/tables/ID`, `#/tables/ID/INVITATION`, `#/tables`.
 */

const PLACES = ["characters", "tables", "new"];

/** `{place, id, extra}` of the address that is shown; `place` is empty for none that is known. */
export function route() {
  const [place = "", id = "", extra = ""] = location.hash.replace(/^#\/?/, "").split("/").map(decode);
  return PLACES.includes(place) ? { place, id, extra } : { place: "", id: "", extra: "" };
}

export function addressOf(place, id = "", extra = "") {
  return `#/${[place, id, extra].filter(Boolean).map(encodeURIComponent).join("/")}`;
}

/** Shows an address without leaving a step for the Back button, and without a `hashchange`. */
export function replaceAddress(address) {
  if (location.hash !== address) history.replaceState(null, "", address);
}

/** Goes to an address, as a link would. */
export function goTo(address) {
  if (location.hash === address) dispatchEvent(new Event("hashchange"));
  else location.hash = address;
}

function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
