// node samples.mjs: the samples of `samples/web`, in a page.

import { assert, check, finish, newCharacter, slow, turns, until } from "./common.mjs";
import { Window } from "happy-dom";

const window = new Window({ url: "http://127.0.0.1" });
for (const name of ["document", "navigator"]) {
  Object.defineProperty(globalThis, name, { value: window[name], configurable: true });
}
globalThis.window = window;
const { createElement } = await import("react");
const { createRoot } = await import("react-dom/client");
const { DungeonMaster } = await import("./ag-ui.mjs");
const { Story } = await import("./use-chat.mjs");

const shown = (agent) => agent.messages.map((one) => [one.role, one.content]);
async function past(character, at) {
  const found = await turns(character, at);
  return found.reverse().flatMap((one) => [["user", one.user_action], ["assistant", one.narrative]]);
}

await check("ag-ui.mjs: a page that is loaded again shows the story, and the turn that runs", async () => {
  const characterId = await newCharacter(slow);
  const first = new DungeonMaster({ base: slow, characterId });
  await first.open();
  assert.equal(first.messages.length, 1); // the opening
  first.addMessage({ id: "message-1", role: "user", content: "I look around." });
  const running = first.runAgent();
  await until("text came", async () => (await turns(characterId, slow))[0]?.narrative);
  const second = new DungeonMaster({ base: slow, characterId });
  await Promise.all([second.open(), running]);
  assert.deepEqual(shown(second).slice(1), await past(characterId, slow));
  assert.deepEqual(shown(second), shown(first));
  second.addMessage({ id: "message-2", role: "user", content: "I wait." });
  await second.runAgent();
  const third = new DungeonMaster({ base: slow, characterId });
  await third.open();
  assert.deepEqual(shown(third), shown(second));
});

function page(props) {
  const place = window.document.createElement("div");
  window.document.body.append(place);
  const root = createRoot(place);
  root.render(createElement(Story, props));
  const texts = () => [...place.querySelectorAll("p")].map((one) => [one.className, one.textContent]);
  return { place, root, texts };
}

async function type(place, text) {
  const input = await until("an input", () => place.querySelector("input"));
  Object.getOwnPropertyDescriptor(window.HTMLInputElement.prototype, "value").set.call(input, text);
  input.dispatchEvent(new window.Event("input", { bubbles: true }));
  await until("it may be sent", () => input.value === text && !place.querySelector("button").disabled);
  place.querySelector("form").dispatchEvent(new window.Event("submit", { bubbles: true, cancelable: true }));
}

await check("use-chat.mjs: a story is played, and goes on in a page that is loaded again", async () => {
  const characterId = await newCharacter(slow);
  const props = { base: slow, characterId, chat: `chat-${process.pid}` };
  const first = page(props);
  await type(first.place, "I look around.");
  await until("text came", () => first.texts().some(([role, text]) => role === "assistant" && text));
  first.root.unmount();
  const messages = [{ id: "message-1", role: "user", parts: [{ type: "text", text: "I look around." }] }];
  const second = page({ ...props, messages });
  const [turn] = await until("it has ended", async () => {
    const found = await turns(characterId, slow);
    return found[0].status === "complete" && found;
  });
  await until("it is all there", () => second.texts().at(-1)?.[1] === turn.narrative);
  assert.deepEqual(second.texts(), await past(characterId, slow));
  second.root.unmount();
});

await check("use-chat.mjs: Stop cancels", async () => {
  const characterId = await newCharacter(slow);
  const { place, root, texts } = page({ base: slow, characterId, chat: `stopped-${process.pid}` });
  await type(place, "I look around.");
  await until("text came", () => texts().some(([role, text]) => role === "assistant" && text));
  [...place.querySelectorAll("button")].at(-1).click();
  await until("it is cancelled", async () => (await turns(characterId, slow))[0].status === "cancelled");
  root.unmount();
});

finish();
