// node ai_sdk.mjs AI REACT: Chat of @ai-sdk/react, as useChat has it, with DefaultChatTransport of ai.

import {
  assert, base, call, check, CUTS, cuttingProxy, ended, finish, newCharacter, places, playing, turns,
  until,
} from "./common.mjs";

const [name, react] = process.argv.slice(2);
const { DefaultChatTransport } = await import(name);
const { Chat } = await import(react);
console.error = () => {};

let count = 0;
function chatOf(character, root = base, headers = () => ({})) {
  const api = `${root}/ai-sdk/${character}`;
  return new Chat({ id: `chat ${process.pid}/${count++}`, transport: new DefaultChatTransport({ api, headers }) });
}

const answerOf = (chat) => chat.messages.findLast((one) => one.role === "assistant");
const textOf = (chat) =>
  (answerOf(chat)?.parts ?? []).filter((one) => one.type === "text").map((one) => one.text).join("");

await check(`${name}: a whole turn`, async () => {
  const character = await newCharacter();
  const chat = chatOf(character);
  await chat.sendMessage({ text: "I look around." });
  const [turn] = await turns(character);
  assert.equal(textOf(chat), turn.narrative);
  assert.equal(chat.status, "ready");
  assert.equal(answerOf(chat).id, turn.turn_id);
  assert.equal(answerOf(chat).metadata.dm.status, "complete");
  assert.ok(answerOf(chat).parts.some((part) => part.type === "data-dm-write"));
  await chat.regenerate();
  assert.equal((await turns(character)).length, 1);
  assert.equal(textOf(chat), turn.narrative);
  await chat.sendMessage({ text: "I wait." });
  assert.equal((await turns(character)).length, 2);
});

await check(`${name}: cut at ${CUTS} places and resumed`, async () => {
  const proxy = await cuttingProxy();
  const character = await newCharacter();
  for (const cut of places(CUTS, 9000)) {
    let headers = { "x-cut": String(cut) };
    const chat = chatOf(character, proxy.url, () => headers);
    const before = (await turns(character)).length;
    await chat.sendMessage({ text: `I look around, ${cut}.` });
    headers = {};
    if (chat.status !== "ready") await chat.resumeStream();
    const turn = await ended(character);
    assert.equal(textOf(chat), turn.narrative, `cut at ${cut}`);
    assert.equal(chat.messages.length, 2);
    assert.equal((await turns(character)).length, before + 1, `cut at ${cut}`);
  }
  proxy.close();
});

await check(`${name}: resumed in a page of its own while it runs, and after`, async () => {
  const character = await newCharacter();
  const chat = chatOf(character);
  const sent = chat.sendMessage({ text: "I look around." });
  await until("text came", async () => (await turns(character))[0]?.narrative);
  const other = new Chat({
    id: chat.id,
    messages: chat.messages.slice(0, 1),
    transport: new DefaultChatTransport({ api: `${base}/ai-sdk/${character}` }),
  });
  await Promise.all([other.resumeStream(), sent]);
  const [turn] = await turns(character);
  assert.equal(textOf(other), turn.narrative);
  await other.resumeStream();
  assert.equal(textOf(other), turn.narrative);
  const stranger = chatOf(character);
  await stranger.resumeStream();
  assert.equal(stranger.status, "ready");
  assert.equal(stranger.messages.length, 0);
});

await check(`${name}: a refusal is an error`, async () => {
  const character = await newCharacter();
  const other = await playing(character, "I wait.");
  const chat = chatOf(character);
  await chat.sendMessage({ text: "I look around." });
  assert.equal(chat.status, "error");
  assert.match(JSON.stringify([chat.error.message, chat.error.responseBody]), /turn_in_progress/);
  await other.text();
});

await check(`${name}: a cancelled turn`, async () => {
  const character = await newCharacter();
  const chat = chatOf(character);
  const sent = chat.sendMessage({ text: "I look around." });
  const turn = await until("text came", async () => {
    const [newest] = await turns(character);
    return newest?.narrative && newest;
  });
  assert.equal((await call("POST", `/turns/${turn.turn_id}/cancel`)).status, 202);
  await sent;
  assert.equal(answerOf(chat).metadata.dm.status, "cancelled");
  assert.equal(chat.status, "ready");
});

finish();
