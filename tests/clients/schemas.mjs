// node schemas.mjs: the recorded streams, and those in STREAMS, held to the schemas of the protocols.
// STREAMS: JSON lines {dialect, messages}, as `streams.py` makes them.

import { readFileSync } from "node:fs";
import { assert, check, finish } from "./common.mjs";

const { EventSchemas } = await import("@ag-ui/core/schemas");
const lines = readFileSync(process.env.STREAMS, "utf8").trim().split("\n").map((line) => JSON.parse(line));

await check("@ag-ui/core: every event", () => {
  const streams = lines.filter((line) => line.dialect === "ag-ui");
  assert.ok(streams.length > 10);
  for (const { messages } of streams) messages.forEach((event) => EventSchemas.parse(event));
});

for (const name of ["ai-5", "ai-6", "ai-7"]) {
  await check(`${name}: every chunk`, async () => {
    const { uiMessageChunkSchema } = await import(name);
    const schema = typeof uiMessageChunkSchema === "function" ? uiMessageChunkSchema() : uiMessageChunkSchema;
    const streams = lines.filter((line) => line.dialect === "ai-sdk");
    assert.ok(streams.length > 10);
    for (const { messages } of streams) {
      for (const chunk of messages) {
        const found = await schema.validate(chunk);
        assert.ok(found.success, `${JSON.stringify(chunk)}: ${found.error}`);
      }
    }
  });
}

finish();
