// node openai.mjs MODULE: OpenAI's SDK for JavaScript, raw and with its `.stream()` helper.

import {
  assert, base, call, check, CUTS, cuttingProxy, ended, finish, newCharacter, places, playing, turns,
  until,
} from "./common.mjs";

const name = process.argv[2];
const { default: OpenAI } = await import(name);
const of = (root = base, options = {}) => new OpenAI({ apiKey: "any", baseURL: `${root}/v1`, ...options });
const client = of();

function asked(character, ...messages) {
  const roles = messages.map((content, place) => ({ role: place % 2 ? "assistant" : "user", content }));
  return { model: `dungeon-master/${character}`, stream: true, messages: roles };
}

async function read(stream) {
  let text = "";
  for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? "";
  return text;
}

await check(`${name}: whole turns, one of them again`, async () => {
  const character = await newCharacter();
  const first = await read(await client.chat.completions.create(asked(character, "I look around.")));
  let [turn] = await turns(character);
  assert.equal(first, turn.narrative);
  const messages = ["I look around.", first, "I wait."];
  const next = await read(await client.chat.completions.create(asked(character, ...messages)));
  [turn] = await turns(character);
  assert.equal(next, turn.narrative);
  const again = client.chat.completions.stream(asked(character, ...messages));
  assert.equal((await again.finalMessage()).content, next);
  assert.equal((await turns(character)).length, 2);
  const edited = await client.chat.completions.create(asked(character, ...messages.slice(0, 2), "I run.")).catch((error) => error);
  assert.equal(edited.code, "history_is_written");
});

await check(`${name}: cut at ${CUTS} places and sent again`, async () => {
  const proxy = await cuttingProxy();
  const character = await newCharacter();
  let story = [];
  for (const cut of places(CUTS, 9000)) {
    const before = (await turns(character)).length;
    const body = asked(character, ...story, `I look around, ${cut}.`);
    const options = { headers: { "x-cut": String(cut) } };
    await of(proxy.url).chat.completions.create(body, options).then(read).catch(() => {});
    const text = await read(await client.chat.completions.create(body));
    const turn = await ended(character);
    assert.equal(text, turn.narrative, `cut at ${cut}`);
    assert.equal((await turns(character)).length, before + 1, `cut at ${cut}`);
    story = [...story, `I look around, ${cut}.`, text].slice(-4);
  }
  proxy.close();
});

await check(`${name}: refusals are errors of the SDK`, async () => {
  const character = await newCharacter();
  const other = await playing(character, "I wait.");
  const body = asked(character, "I look around.");
  const busy = await of(base, { maxRetries: 0 }).chat.completions.create(body).catch((error) => error);
  assert.equal(busy.status, 409);
  assert.equal(busy.code, "turn_in_progress");
  await other.text();
  const unknown = await client.chat.completions.create({ ...body, model: "gpt-5" }).catch((error) => error);
  assert.equal(unknown.status, 404);
  assert.equal(unknown.code, "model_not_found");
  const whole = { ...body, stream: false };
  const background = await client.chat.completions.create(whole).catch((error) => error);
  assert.equal(background.code, "not_a_turn");
  const marked = await client.chat.completions.create({ ...whole, metadata: { dm_turn: "true" } });
  assert.equal(marked.choices[0].message.content, (await turns(character))[0].narrative);
});

await check(`${name}: a cancelled turn is an error in the stream`, async () => {
  const character = await newCharacter();
  const stream = await client.chat.completions.create(asked(character, "I look around."));
  const reading = read(stream).catch((error) => error);
  const turn = await until("text came", async () => {
    const [newest] = await turns(character);
    return newest?.narrative && newest;
  });
  assert.equal((await call("POST", `/turns/${turn.turn_id}/cancel`)).status, 202);
  assert.equal((await reading).code, "turn_cancelled");
});

await check(`${name}: models`, async () => {
  const character = await newCharacter();
  const ids = [];
  for await (const model of client.models.list()) ids.push(model.id);
  assert.ok(ids.includes(`dungeon-master/${character}`));
  assert.ok(ids.includes("dungeon-master-tasks"));
});

finish();
