// An AG-UI agent whose page may be loaded again, at any time: the story so far, and the turn that runs.
//
//   const agent = new DungeonMaster({ base: "http://127.0.0.1:8080", characterId });
//   await agent.open();
//   agent.addMessage({ id: crypto.randomUUID(), role: "user", content: "I knock." });
//   await agent.runAgent();

import { HttpAgent, runHttpRequest, transformHttpEventStream } from "@ag-ui/client";

export class DungeonMaster extends HttpAgent {
  constructor({ base, characterId, ...config }) {
    super({ url: `${base}/ag-ui/${characterId}`, threadId: characterId, ...config });
    [this.base, this.turns] = [base, `${base}/characters/${characterId}/turns`];
  }

  // What was played becomes messages; the newest answer is left to `connect`, which may still grow.
  async open(limit = 20) {
    const { turns } = await this.#get(`${this.turns}?limit=${limit}`).then((answer) => answer.json());
    this.newest = turns[0]?.turn_id;
    this.setMessages(turns.reverse().flatMap((turn) => this.#messages(turn)));
    if (this.newest) await this.connectAgent();
  }

  connect() {
    const events = () => this.#get(`${this.base}/turns/${this.newest}/events?dialect=ag-ui`);
    return transformHttpEventStream(runHttpRequest(events));
  }

  #messages({ turn_id, user_action, narrative }) {
    const said = user_action && { id: `${turn_id}:action`, role: "user", content: user_action };
    const answer = turn_id !== this.newest && { id: turn_id, role: "assistant", content: narrative };
    return [said, answer].filter(Boolean);
  }

  #get(address) {
    return fetch(address, { headers: this.headers });
  }
}
