/** Dice: at a table the service rolls them for everybody to see; alone the page does, into the player's words. */

import { byId, el } from "./dom.js";
import { announce } from "./speech.js";

const SIDES = [4, 6, 8, 10, 12, 20, 100];
const KEPT = 6;

/** `roll(notation)` is called for each press. */
export function setUpDice(roll) {
  const button = (sides) => el("button", { type: "button", class: "plain die", "data-sides": sides, onclick: () => roll(sides) }, `d${sides}`);
  byId("dice").append(...SIDES.map(button));
}

/** From 1 to `sides`, each as likely as the others. */
export function rollDie(sides) {
  const limit = 2 ** 32 - (2 ** 32 % sides);
  for (;;) {
    const [value] = crypto.getRandomValues(new Uint32Array(1));
    if (value < limit) return (value % sides) + 1;
  }
}

/** Lists a roll in the side panel. */
export function showRoll(notation, total, who = "") {
  const words = [who, `${notation}: ${total}`].filter(Boolean).join(" ");
  byId("rolls").prepend(el("li", {}, el("span", { class: "quiet" }, [who, notation].filter(Boolean).join(" ")), " ", el("strong", {}, String(total))));
  while (byId("rolls").childElementCount > KEPT) byId("rolls").lastChild.remove();
  announce(words);
}
