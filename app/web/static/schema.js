/** JSON Schemas (OpenAPI 3.1) as readable DOM, and sample values made from them. */

import { el } from "./dom.js";
import { blocks, inline } from "./markdown.js";

const DEEPEST_SAMPLE = 6;
const SAMPLES = {
  uuid: "00000000-0000-4000-8000-000000000000",
  "date-time": "2030-01-01T00:00:00Z",
  date: "2030-01-01",
  uri: "https://example.org/",
  email: "someone@example.org",
};

export class Schemas {
  constructor(document) {
    this.document = document;
  }

  /** What a `$ref` points at, through any chain of them; anything else as it is. */
  resolve(node) {
    const seen = new Set();
    while (node?.$ref && !seen.has(node.$ref)) {
      seen.add(node.$ref);
      node = this.#at(node.$ref) ?? {};
    }
    return node === true || node === false || !node ? {} : node;
  }

  render(schema) {
    if (!schema) return null;
    if (!isNamed(schema)) return this.#body(schema);
    return el("div", { class: "schema" }, this.#lazy(schema, true));
  }

  words(schema) {
    if (schema?.$ref && this.#isPlain(schema)) return this.words(this.resolve(schema));
    if (schema?.$ref) return refName(schema.$ref);
    const node = this.resolve(schema);
    const variants = variantsOf(node);
    if (variants.length) return [...new Set(variants.map((variant) => this.words(variant)))].join(" or ");
    if ("const" in node) return JSON.stringify(node.const);
    if (node.enum && !node.type) return "enum";
    const types = [node.type ?? (node.properties ? "object" : node.items ? "array" : "any")].flat();
    return types.map((type) => this.#typeWord(type, node)).join(" or ");
  }

  sample(schema, depth = 0) {
    const node = this.#whole(schema);
    const given = givenSample(node);
    if (given !== undefined) return given;
    const variant = variantsOf(node).find((one) => this.resolve(one).type !== "null");
    if (variant) return depth < DEEPEST_SAMPLE ? this.sample(variant, depth + 1) : null;
    const type = [node.type ?? (node.properties ? "object" : "null")].flat().find((one) => one !== "null");
    if (type === "object") return this.#sampleObject(node, depth);
    if (type === "array") return node.minItems && depth < DEEPEST_SAMPLE ? [this.sample(node.items, depth + 1)] : [];
    if (type === "string") return SAMPLES[node.format] ?? (node.minLength ? "text" : "");
    if (type === "integer" || type === "number") return node.minimum ?? 0;
    return type === "boolean" ? false : null;
  }

  #sampleObject(node, depth) {
    if (depth >= DEEPEST_SAMPLE) return {};
    const required = new Set(node.required ?? []);
    const wanted = Object.entries(node.properties ?? {}).filter(
      ([name, property]) => required.has(name) || givenExample(this.resolve(property)) !== undefined,
    );
    return Object.fromEntries(wanted.map(([name, property]) => [name, this.sample(property, depth + 1)]));
  }

  #at(pointer) {
    const steps = pointer.replace(/^#\/?/, "").split("/");
    return steps.reduce((node, step) => node?.[decodeURIComponent(step).replaceAll("~1", "/").replaceAll("~0", "~")], this.document);
  }

  /** The schema with `allOf` folded in, so that its fields stand in one list. */
  #whole(schema) {
    const node = this.resolve(schema);
    if (!node.allOf) return node;
    const parts = [...node.allOf.map((part) => this.#whole(part)), { ...node, allOf: undefined }];
    return {
      ...Object.assign({}, ...parts),
      properties: Object.assign({}, ...parts.map((part) => part.properties)),
      required: parts.flatMap((part) => part.required ?? []),
    };
  }

  #typeWord(type, node) {
    if (type === "array") return node.items ? `array of ${this.words(node.items)}` : "array";
    if (type === "string" && node.format) return `string (${node.format})`;
    if (type === "object" && isObject(node.additionalProperties)) return `map of ${this.words(node.additionalProperties)}`;
    return type;
  }

  /** Filled when it is opened: schemas refer to each other in circles. */
  #lazy(schema, open = false) {
    const details = el("details", { class: "schema-ref" }, el("summary", {}, el("code", {}, refName(schema.$ref) || schema.title || "fields")));
    const fillOnce = () => details.childElementCount === 1 && details.append(this.#body(schema));
    details.addEventListener("toggle", fillOnce);
    details.open = open;
    if (open) fillOnce();
    return details;
  }

  #body(schema) {
    const node = this.#whole(schema);
    const names = Object.entries(node.properties ?? {});
    return el(
      "div",
      { class: "schema" },
      names.length ? null : el("p", { class: "type" }, this.words(node), limitsNode(node)),
      blocks(node.description),
      names.length ? el("ul", { class: "bare props" }, names.map(([name, property]) => this.#row(name, property, node))) : null,
      this.#nested(node, true),
      exampleNode(node),
    );
  }

  #row(name, property, owner) {
    const node = this.#isPlain(property) ? { ...this.resolve(property), ...property } : property;
    return el(
      "li",
      { class: "prop" },
      el("code", { class: "prop-name" }, name),
      owner.required?.includes(name) ? el("span", { class: "required" }, "required") : null,
      el("span", { class: "type" }, this.words(property)),
      limitsNode(node),
      node.deprecated ? el("span", { class: "required" }, "deprecated") : null,
      node.description ? el("div", { class: "prop-text" }, inline(node.description)) : null,
      this.#nested(property, false),
    );
  }

  /** What can be unfolded below a schema: the named or structured parts of it. */
  #nested(schema, inside) {
    const parts = this.#parts(schema, inside);
    return parts.length ? el("div", { class: "nested" }, parts.map((part) => this.#lazy(part))) : null;
  }

  #parts(schema, inside = false) {
    if (!isObject(schema)) return [];
    if (!inside && schema.$ref) return this.#isPlain(schema) ? [] : [schema];
    if (!inside && schema.properties) return [schema];
    const below = [...variantsOf(schema), ...(inside ? [] : schema.allOf ?? []), schema.items, schema.additionalProperties, ...(schema.prefixItems ?? [])];
    return below.flatMap((part) => this.#parts(part));
  }

  /** A reference to a mere string, number or list of words is shown in place. */
  #isPlain(schema) {
    const node = this.resolve(schema);
    const type = [node.type].flat()[0];
    return !node.properties && !node.allOf && !variantsOf(node).length && type !== "array" && type !== "object" && (Boolean(type) || Boolean(node.enum));
  }
}

/** "1–64 characters", "one of …", "default …": every bound a schema sets on its value. */
export function limitsNode(schema) {
  const node = isObject(schema) ? schema : {};
  const limits = limitWords(node);
  const choices = (node.enum ?? []).map((value) => el("code", {}, JSON.stringify(value)));
  if (!limits.length && !choices.length) return null;
  return el("span", { class: "limits" }, limits.join(", "), choices.length ? [limits.length ? "; one of " : "one of ", separated(choices)] : null);
}

function limitWords(node) {
  const variant = variantsOf(node).find((one) => one.type && one.type !== "null");
  const from = variant ? { ...variant, ...node } : node;
  return [
    range(from.minLength, from.maxLength, "characters"),
    range(from.minItems, from.maxItems, "items"),
    range(from.minimum, from.maximum, ""),
    from.exclusiveMinimum !== undefined ? `more than ${from.exclusiveMinimum}` : null,
    from.exclusiveMaximum !== undefined ? `less than ${from.exclusiveMaximum}` : null,
    from.multipleOf ? `a multiple of ${from.multipleOf}` : null,
    from.uniqueItems ? "no repeats" : null,
    from.pattern ? `matches ${from.pattern}` : null,
    from.default !== undefined ? `default ${JSON.stringify(from.default)}` : null,
    from.readOnly ? "read only" : null,
  ].filter(Boolean);
}

function range(least, most, unit) {
  if (least === undefined && most === undefined) return null;
  const words = least === undefined ? `up to ${most}` : most === undefined ? `at least ${least}` : `${least}–${most}`;
  return unit ? `${words} ${unit}` : words;
}

export function exampleNode(node) {
  const example = givenExample(node);
  if (example === undefined) return null;
  return el("details", { class: "schema-ref" }, el("summary", {}, "Example"), el("pre", {}, pretty(example)));
}

export function pretty(value) {
  return typeof value === "string" ? value : JSON.stringify(value, null, 2);
}

function givenExample(node) {
  return node.example ?? (Array.isArray(node.examples) ? node.examples[0] : undefined);
}

function givenSample(node) {
  return [givenExample(node), node.default, node.const, node.enum?.[0]].find((value) => value !== undefined);
}

function variantsOf(node) {
  return [...(node?.oneOf ?? []), ...(node?.anyOf ?? [])];
}

function separated(nodes) {
  return nodes.flatMap((node, index) => (index ? [", ", node] : [node]));
}

function refName(ref) {
  return decodeURIComponent(ref?.split("/").pop() ?? "");
}

function isNamed(schema) {
  return Boolean(schema.$ref);
}

function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
