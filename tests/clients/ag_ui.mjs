// node ag_ui.mjs MODULE: HttpAgent of @ag-ui/client reads, is cut and rejoins, and sees errors.

import {
  assert, base, call, check, CUTS, cuttingProxy, ended, finish, newCharacter, places, playing, turns,
  until,
} from "./common.mjs";

const name = process.argv[2];
const { HttpAgent } = await import(name);
console.error = () => {}; // the client writes every error there, too
console.warn = (text) => warnings.push(text);
const warnings = [];
// A run whose connection breaks rejects twice: once as the run, once where nobody can wait for it.
process.on("unhandledRejection", (error) => assert.match(String(error), /terminated/));

let count = 0;
function agentOf(character, root = base, headers = {}) {
  return new HttpAgent({ url: `${root}/ag-ui/${character}`, threadId: `thread-${count++}`, headers });
}

function say(agent, text) {
  agent.messages.push({ id: `message-${count++}`, role: "user", content: text });
}

const textOf = (agent) =>
  agent.messages.filter((one) => one.role === "assistant").map((one) => one.content).join("|");

await check(`${name}: a whole turn`, async () => {
  const character = await newCharacter();
  const agent = agentOf(character);
  const events = [];
  say(agent, "I look around.");
  const { result } = await agent.runAgent({}, { onEvent: ({ event }) => void events.push(event) });
  const [turn] = await turns(character);
  assert.equal(textOf(agent), turn.narrative);
  assert.equal(result.turn_id, turn.turn_id);
  assert.equal(events.at(-1).type, "RUN_FINISHED");
  assert.ok(events.some((event) => event.name === "dm.write"));
  say(agent, "I wait.");
  await agent.runAgent();
  assert.equal((await turns(character)).length, 2);
});

await check(`${name}: cut at ${CUTS} places and run again`, async () => {
  const proxy = await cuttingProxy();
  const character = await newCharacter();
  for (const cut of places(CUTS, 9000)) {
    const agent = agentOf(character, proxy.url, { "x-cut": String(cut) });
    const before = (await turns(character)).length;
    say(agent, `I look around, ${cut}.`);
    await agent.runAgent().then(() => {}, () => {});
    agent.headers = {};
    await agent.runAgent();
    const turn = await ended(character);
    assert.equal(textOf(agent), turn.narrative, `cut at ${cut}`);
    assert.equal((await turns(character)).length, before + 1, `cut at ${cut}`);
  }
  proxy.close();
});

await check(`${name}: a refusal has status and payload`, async () => {
  const character = await newCharacter();
  const other = await playing(character, "I wait.");
  const agent = agentOf(character);
  say(agent, "I look around.");
  const error = await agent.runAgent().then(() => null, (failed) => failed);
  assert.equal(error.status, 409);
  assert.match(error.message, /^HTTP 409: /);
  assert.equal(JSON.parse(error.payload).error.type, "turn_in_progress");
  await other.text();
});

await check(`${name}: a cancelled turn`, async () => {
  const character = await newCharacter();
  const agent = agentOf(character);
  const seen = [];
  say(agent, "I look around.");
  const running = agent.runAgent({}, {
    onEvent: ({ event }) => void seen.push(event),
    onRunErrorEvent: ({ event }) => void seen.push(event),
  });
  const turn = await until("text came", async () => {
    const [newest] = await turns(character);
    return newest?.narrative && newest;
  });
  assert.equal((await call("POST", `/turns/${turn.turn_id}/cancel`)).status, 202);
  await running.then(() => {}, () => {});
  assert.ok(seen.some((event) => event.name === "dm.cancelled"));
  const last = seen.at(-1);
  assert.ok(last.outcome?.type === "cancelled" || last.code === "turn_cancelled");
});

await check(`${name}: hidden runs are no turns`, async () => {
  const character = await newCharacter();
  const agent = agentOf(character);
  say(agent, "Suggest something.");
  const toolChoice = { type: "function", function: { name: "copilotkitSuggest" } };
  await agent.runAgent({ forwardedProps: { toolChoice } });
  assert.equal((await turns(character)).length, 0);
});

await check(`${name}: nothing is warned of`, () => assert.deepEqual(warnings, []));
finish();
