// node dm_client.mjs: the client that the service serves, at /static/dm-client.js.

import { rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import {
  assert, base, check, CUTS, cuttingProxy, finish, newCharacter, places, playing, slow, turns,
} from "./common.mjs";

const served = await fetch(`${base}/static/dm-client.js`);
const file = `${tmpdir()}/dm-client-${process.pid}.mjs`;
writeFileSync(file, await served.text());
const { Client, Refused } = await import(file);
rmSync(file);

async function read(events) {
  const found = [];
  for await (const event of events) found.push(event);
  return found;
}
const textOf = (events) => events.filter((one) => one.type === "token").map((one) => one.content).join("");

await check("dm-client: it is served as a script", () => {
  assert.match(served.headers.get("content-type"), /javascript/);
});

await check("dm-client: a whole turn, and what is known of it", async () => {
  const client = new Client({ base });
  const made = await client.createCharacter({ name: `Odo ${process.pid}`, race: "elf", className: "bard" });
  const events = await read(client.turn(made.character_id, "I look around."));
  const turn = await client.getTurn(events.at(-1).turn_id);
  assert.equal(textOf(events), turn.narrative);
  assert.deepEqual(await read(client.events(turn.turn_id)), events);
  assert.equal((await client.history(made.character_id, { limit: 1 })).turns[0].turn_id, turn.turn_id);
  assert.ok((await client.characters()).some((one) => one.character_id === made.character_id));
});

await check("dm-client: a turn is retold, then kept", async () => {
  const client = new Client({ base });
  let [turnId, generations, text] = ["", 0, ""];
  for await (const event of client.turn(await newCharacter(), "I look around.", { manual: true })) {
    turnId = event.turn_id ?? turnId;
    if (event.phase === "retelling") text = "";
    if (event.type === "token") text += event.content;
    if (event.phase !== "awaiting_commit") continue;
    generations += 1;
    await (generations === 1 ? client.retell(turnId, "brighter") : client.commit(turnId));
  }
  assert.equal(generations, 2);
  assert.equal((await client.getTurn(turnId)).narrative, text);
});

await check(`dm-client: cut at ${CUTS} places`, async () => {
  const proxy = await cuttingProxy();
  const character = await newCharacter();
  for (const cut of places(CUTS, 9000)) {
    let first = true;
    const cutting = (address, options) => {
      const headers = first ? { ...options.headers, "x-cut": String(cut) } : options.headers;
      first = false;
      return fetch(address, { ...options, headers });
    };
    const before = (await turns(character)).length;
    const events = await read(new Client({ base: proxy.url, fetch: cutting }).turn(character, `I look, ${cut}.`));
    const [turn] = await turns(character);
    assert.equal(textOf(events), turn.narrative, `cut at ${cut}`);
    assert.equal((await turns(character)).length, before + 1);
  }
  proxy.close();
});

await check("dm-client: a character is followed, and left", async () => {
  const client = new Client({ base });
  const character = await newCharacter();
  const controller = new AbortController();
  const seen = [];
  const following = (async () => {
    for await (const event of client.follow(character, { signal: controller.signal })) {
      seen.push(event);
      if (event.phase === "live") (await playing(character, "I wait.")).text();
      if (event.type === "complete") break;
    }
  })();
  await following;
  controller.abort();
  assert.equal(textOf(seen), (await turns(character))[0].narrative);
});

await check("dm-client: refusals and cancelling", async () => {
  const client = new Client({ base: slow });
  const character = await newCharacter(slow);
  const kinds = [];
  for await (const event of client.turn(character, "I look around.")) {
    kinds.push(event.type);
    if (kinds.filter((kind) => kind === "token").length === 1 && event.type === "token") {
      const busy = await read(client.turn(character, "I run.")).catch((error) => error);
      assert.ok(busy instanceof Refused);
      assert.deepEqual([busy.status, busy.type, busy.retryAfter], [409, "turn_in_progress", 2]);
      const [turn] = await turns(character, slow);
      await client.cancel(turn.turn_id);
    }
  }
  assert.equal(kinds.at(-1), "cancelled");
  const nobody = await client.getTurn("nothing").catch((error) => error);
  assert.equal(nobody.type, "turn_not_found");
});

await check("dm-client: what waiting does not help is thrown at once, and a wait is left", async () => {
  const refusing = (status, error) => async () =>
    new Response(JSON.stringify({ error: { type: "busy", ...error } }), { status });
  const [helpless, tomorrow, soon] = [
    refusing(502, { recoverable: false }),
    refusing(429, { recoverable: true, retry_after_seconds: 80000 }),
    refusing(503, { recoverable: true, retry_after_seconds: 50 }),
  ];
  for (const fetch of [helpless, tomorrow]) {
    await assert.rejects(read(new Client({ base, fetch }).turn("character", "I look.")), Refused);
  }
  const controller = new AbortController();
  const fetch = (...request) => {
    setTimeout(() => controller.abort()); // behind the answer
    return soon(...request);
  };
  const waiting = read(new Client({ base, fetch }).turn("character", "I look.", { signal: controller.signal }));
  await assert.rejects(waiting, { name: "AbortError" });
});

finish();
