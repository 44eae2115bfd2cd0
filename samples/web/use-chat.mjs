// A story in React: `useChat` of the AI SDK plays, and a page that is loaded again goes on where it was.

import { useChat } from "@ai-sdk/react";
import { DefaultChatTransport } from "ai";
import { createElement as h, useMemo, useState } from "react";

const textOf = ({ parts }) => parts.filter((part) => part.type === "text").map((part) => part.text).join("");

export function Story({ base, characterId, chat, messages = [] }) {
  const [action, setAction] = useState("");
  const api = `${base}/ai-sdk/${characterId}`;
  const transport = useMemo(() => new DefaultChatTransport({ api }), [api]);
  const story = useChat({ id: chat, messages, transport, resume: true });
  const cancel = () => {
    const turn = story.messages.at(-1)?.metadata?.dm.turn_id;
    if (turn) fetch(`${base}/turns/${turn}/cancel`, { method: "POST" });
  };
  const send = (event) => {
    event.preventDefault();
    story.sendMessage({ text: action });
    setAction("");
  };
  return h("form", { onSubmit: send },
    story.messages.map((one) => h("p", { key: one.id, className: one.role }, textOf(one))),
    h("input", { value: action, onChange: (event) => setAction(event.target.value) }),
    h("button", { disabled: story.status !== "ready" }, "Play"),
    h("button", { type: "button", onClick: cancel }, "Stop"),
    story.error && h("output", null, story.error.message));
}
