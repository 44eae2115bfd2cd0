/** The API reader: /openapi.json as a page. */

import { getJSON, token } from "./api.js";
import { byId, el, fill } from "./dom.js";
import { blocks, inline } from "./markdown.js";
import { Schemas, limitsNode, pretty } from "./schema.js";
import { mediaExample, tryForm } from "./tryit.js";

const METHODS = ["get", "post", "put", "patch", "delete", "head", "options"];

start();

async function start() {
  byId("filter").addEventListener("input", applyFilter);
  byId("token").value = token.get();
  byId("token").addEventListener("input", () => token.set(byId("token").value.trim()));
  try {
    draw(await getJSON("/openapi.json"));
  } catch {
    fill(byId("page-notice"), el("p", { class: "notice" }, "The description at /openapi.json cannot be read right now. Reload to try again."));
  }
}

function draw(api) {
  const schemas = new Schemas(api);
  const groups = groupByTag(operationsOf(api, schemas), api.tags ?? []);
  drawIntro(api.info ?? {});
  byId("token-panel").hidden = !api.components?.securitySchemes;
  fill(byId("tags"), groups.map(({ name }) => el("li", {}, el("a", { href: `#${groupId(name)}` }, name))));
  fill(byId("operations"), groups.map((group) => groupNode(group, schemas)));
  applyFilter();
  openFromHash();
  addEventListener("hashchange", openFromHash);
}

function drawIntro({ title, version, summary, description }) {
  if (title) document.title = `API · ${title}`;
  fill(byId("title"), title ?? "API", version ? el("span", { class: "version quiet" }, ` ${version}`) : null);
  fill(byId("intro"), summary ? el("p", {}, inline(summary)) : null, blocks(description));
}

function operationsOf(api, schemas) {
  const base = basePath(api.servers);
  return Object.entries(api.paths ?? {}).flatMap(([path, item]) =>
    METHODS.filter((method) => item[method]).map((method) => {
      const parameters = [...(item.parameters ?? []), ...(item[method].parameters ?? [])].map((one) => schemas.resolve(one));
      const requestBody = item[method].requestBody && schemas.resolve(item[method].requestBody);
      return { responses: {}, ...item[method], path, method, base, parameters: lastOfEach(parameters), requestBody };
    }),
  );
}

/** An operation's own parameter replaces the path's of the same name and place. */
function lastOfEach(parameters) {
  return [...new Map(parameters.map((parameter) => [`${parameter.in} ${parameter.name}`, parameter])).values()];
}

/** Only a path: this page may call nothing but its own server. */
function basePath(servers) {
  const url = servers?.[0]?.url ?? "";
  return url.startsWith("/") ? url.replace(/\/$/, "") : "";
}

function groupByTag(operations, tags) {
  const groups = new Map(tags.map((tag) => [tag.name, { ...tag, operations: [] }]));
  for (const operation of operations) {
    const name = operation.tags?.[0] ?? "Other";
    if (!groups.has(name)) groups.set(name, { name, operations: [] });
    groups.get(name).operations.push(operation);
  }
  return [...groups.values()].filter((group) => group.operations.length);
}

function groupNode({ name, description, operations }, schemas) {
  return el(
    "section",
    { class: "group", id: groupId(name) },
    el("h2", {}, name),
    blocks(description),
    operations.map((operation) => operationNode(operation, schemas)),
  );
}

function operationNode(operation, schemas) {
  const { method, path, summary, deprecated } = operation;
  const details = el(
    "details",
    { class: "operation", id: operationId(operation), "data-search": searchText(operation) },
    el(
      "summary",
      {},
      el("span", { class: `method method-${method}` }, method.toUpperCase()),
      el("code", { class: "path" }, path),
      el("span", { class: "quiet" }, summary ?? "", deprecated ? " (deprecated)" : ""),
    ),
  );
  // Most operations are never opened: their insides are built when they are.
  details.addEventListener("toggle", () => {
    if (details.open && details.childElementCount === 1) details.append(operationBody(operation, schemas));
  });
  return details;
}

function operationBody(operation, schemas) {
  const { description, parameters, requestBody, responses } = operation;
  return el(
    "div",
    { class: "operation-body" },
    el("p", { class: "hint" }, el("a", { href: `#${operationId(operation)}` }, "Link to this operation")),
    blocks(description),
    parameters.length ? [el("h3", {}, "Parameters"), parametersTable(parameters, schemas)] : null,
    requestBody ? [el("h3", {}, requestBody.required ? "Request body" : "Request body (optional)"), blocks(requestBody.description), contentNodes(requestBody.content, schemas)] : null,
    el("h3", {}, "Responses"),
    Object.entries(responses).map(([status, response]) => responseNode(status, schemas.resolve(response), schemas)),
    el("h3", {}, "Try it"),
    isSocket(operation) ? el("p", {}, "This is a WebSocket: its messages are described in ", el("a", { href: "/asyncapi.json" }, "asyncapi.json"), ".") : tryForm(operation, schemas),
  );
}

function isSocket({ responses }) {
  return "101" in responses;
}

function parametersTable(parameters, schemas) {
  const rows = parameters.map((parameter) =>
    el(
      "tr",
      {},
      el("th", { scope: "row" }, el("code", {}, parameter.name), parameter.required ? el("span", { class: "required" }, "required") : null),
      el("td", {}, parameter.in),
      el("td", {}, el("span", { class: "type" }, schemas.words(parameter.schema)), " ", limitsNode(schemas.resolve(parameter.schema))),
      el("td", {}, inline(parameter.description)),
    ),
  );
  const heads = ["Name", "In", "Type", "Description"].map((name) => el("th", { scope: "col" }, name));
  return el("table", {}, el("thead", {}, el("tr", {}, heads)), el("tbody", {}, rows));
}

function responseNode(status, response, schemas) {
  const types = Object.keys(response.content ?? {});
  const headers = Object.entries(response.headers ?? {});
  const kind = status.startsWith("2") ? "good" : "quiet";
  return el(
    "details",
    { class: "response" },
    el("summary", {}, el("code", { class: `answer-${kind}` }, status), el("span", {}, inline(response.description)), el("span", { class: "quiet mono" }, types.join(", "))),
    headers.length ? el("ul", { class: "bare props" }, headers.map(([name, header]) => headerNode(name, schemas.resolve(header), schemas))) : null,
    contentNodes(response.content, schemas),
    types.length || headers.length ? null : el("p", { class: "quiet" }, "No body."),
  );
}

function headerNode(name, header, schemas) {
  return el(
    "li",
    { class: "prop" },
    el("code", { class: "prop-name" }, name),
    el("span", { class: "type" }, `header, ${schemas.words(header.schema)}`),
    header.description ? el("div", { class: "prop-text" }, inline(header.description)) : null,
  );
}

function contentNodes(content, schemas) {
  return Object.entries(content ?? {}).map(([type, media]) => {
    const example = mediaExample(media);
    return el(
      "div",
      { class: "content" },
      el("p", { class: "mono quiet" }, type),
      schemas.render(media.schema ?? media.itemSchema),
      example === undefined ? null : el("details", { class: "schema-ref" }, el("summary", {}, "Example"), el("pre", {}, pretty(example))),
    );
  });
}

function searchText({ method, path, summary, description, operationId: name, tags }) {
  return [method, path, summary, description, name, ...(tags ?? [])].filter(Boolean).join(" ").toLowerCase();
}

function applyFilter() {
  const words = byId("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const group of byId("operations").children) {
    const operations = [...group.querySelectorAll(".operation")];
    for (const node of operations) node.hidden = !words.every((word) => node.dataset.search.includes(word));
    const left = operations.filter((node) => !node.hidden).length;
    group.hidden = left === 0;
    shown += left;
  }
  fill(byId("filter-count"), words.length ? `${shown} ${shown === 1 ? "operation" : "operations"}` : "");
}

function openFromHash() {
  const target = byId(decodeURIComponent(location.hash.slice(1)));
  if (!target?.classList.contains("operation")) return;
  target.open = true;
  target.scrollIntoView();
}

function operationId({ method, path }) {
  return `${method}-${path.replace(/[^A-Za-z0-9]+/g, "-").replace(/^-|-$/g, "")}`;
}

function groupId(name) {
  return `group-${name.replace(/[^A-Za-z0-9]+/g, "-")}`;
}
