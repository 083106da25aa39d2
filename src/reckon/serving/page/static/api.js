// The description of the API, from /openapi.json, to read.

import { byId, make, show, table } from "./dom.js";
import { get, showProblem } from "./service.js";

let schemas = {};
const nameOf = schema => schema.$ref?.split("/").pop();
const WRITES = {post: "write", put: "write", patch: "write", delete: "delete"};

// -- schemas ---------------------------------------------------------------------------------------------------------

/** A schema in a few words. */
function typeOf(schema) {
  if (!schema || !Object.keys(schema).length) return "anything";
  if (schema.$ref) return nameOf(schema);
  const options = schema.anyOf || schema.oneOf;
  if (options) return [...new Set(options.map(typeOf))].join(" or ");
  if (schema.enum) return schema.enum.map(one => JSON.stringify(one)).join(" or ");
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.type === "array") return `list of ${typeOf(schema.items)}`;
  if (schema.type === "object" && typeof schema.additionalProperties === "object") return `object of ${typeOf(schema.additionalProperties)}`;
  return schema.format ? `${schema.type} (${schema.format})` : schema.type;
}

const LIMITS = [["minimum", "from "], ["maximum", "to "], ["exclusiveMinimum", "above "], ["exclusiveMaximum", "below "],
  ["minLength", "at least ", " characters"], ["maxLength", "at most ", " characters"], ["minItems", "at least ", " entries"],
  ["maxItems", "at most ", " entries"], ["maxProperties", "at most ", " entries"], ["pattern", "like "]];

/** Limits of the values that a schema accepts; those of all its options together. */
function limitsOf(schema) {
  const parts = [schema, ...(schema.anyOf || [])];
  const found = LIMITS.flatMap(([name, before, after = ""]) => parts.filter(one => one[name] !== undefined).map(one => `${before}${one[name].toLocaleString("en")}${after}`));
  return [...new Set(found)].join(", ");
}

/** Names of schemas that a schema mentions, itself included. */
function mentioned(schema, found = new Set()) {
  if (!schema || typeof schema !== "object") return found;
  const name = nameOf(schema);
  if (name && !found.has(name)) mentioned(schemas[found.add(name) && name], found);
  for (const one of Object.values(schema)) if (typeof one === "object") mentioned(one, found);
  return found;
}

function fieldsOf(name) {
  const schema = schemas[name], required = schema.required || [];
  const rows = Object.entries(schema.properties || {}).map(([field, one]) => {
    const must = required.includes(field) ? "required" : one.default === undefined || one.default === null ? "" : `default ${JSON.stringify(one.default)}`;
    return [make("code", {}, field), typeOf(one), [must, limitsOf(one)].filter(Boolean).join("; "), text(one.description || "")];
  });
  return [make("h4", {}, name), schema.description ? text(schema.description, "p") : null,
    rows.length ? make("div", {class: "scroll", tabindex: 0, role: "region", "aria-label": `Fields of ${name}`}, table(["Field", "Type", "", "Meaning"], rows)) : null];
}

const schemasOf = schema => [...mentioned(schema)].filter(name => schemas[name]?.properties).flatMap(fieldsOf);

/** Text in which `this` is code. */
function text(written, tag = "span") {
  return make(tag, {}, ...written.split("`").map((part, at) => (at % 2 ? make("code", {}, part) : part)));
}

// -- routes ----------------------------------------------------------------------------------------------------------

function routeOf(path, method, route) {
  const inside = make("div", {class: "inside"});
  const box = make("details", {class: "card route", id: route.operationId}, make("summary", {},
    make("b", {class: `method ${WRITES[method] || ""}`}, method.toUpperCase()), make("code", {}, path.replaceAll(":path}", "}")), make("span", {}, route.summary || "")), inside);
  box.addEventListener("toggle", () => {
    if (box.open && !inside.hasChildNodes()) inside.append(...details(route).filter(Boolean));
  });
  return box;
}

function details(route) {
  const parts = route.description ? route.description.split("\n\n").map(part => text(part, "p")) : [];
  if (route.parameters?.length) {
    const rows = route.parameters.map(one => [make("code", {}, one.name), one.in, typeOf(one.schema), [one.required ? "required" : "", limitsOf(one.schema)].filter(Boolean).join("; "), text(one.description || "")]);
    parts.push(make("h3", {}, "Parameters"), make("div", {class: "scroll", tabindex: 0, role: "region", "aria-label": "Parameters"}, table(["Name", "In", "Type", "", "Meaning"], rows)));
  }
  for (const [type, {schema}] of Object.entries(route.requestBody?.content || {})) {
    parts.push(make("h3", {}, "Body: ", make("code", {}, type), ` · ${typeOf(schema)}`), ...schemasOf(schema));
    const examples = [schema, ...[...mentioned(schema)].map(name => schemas[name])].flatMap(one => one?.examples || []);
    parts.push(...examples.map(one => make("pre", {tabindex: 0}, JSON.stringify(one, null, 2))));
  }
  const replies = Object.entries(route.responses || {}).map(([status, reply]) => {
    const contents = Object.entries(reply.content || {}).filter(([, {schema}]) => schema).map(([type, {schema}]) => `${type}: ${typeOf(schema)}`);
    return [status, reply.description || "", contents.join("; ")];
  });
  const first = Object.entries(route.responses || {}).find(([status]) => status.startsWith("2"))?.[1].content?.["application/json"]?.schema;
  parts.push(make("h3", {}, "Replies"), make("div", {class: "scroll", tabindex: 0, role: "region", "aria-label": "Replies"}, table(["Status", "When", "Content"], replies)), ...schemasOf(first));
  return parts;
}

async function read() {
  const found = await get("/openapi.json");
  schemas = found.components?.schemas || {};
  show(byId("about"), ...(found.info.description || "").trim().split("\n\n").map(part => {
    const one = text(part, "p");
    one.className = "lead";
    return one;
  }), make("p", {class: "lead"}, make("a", {href: "/openapi.json"}, "/openapi.json"), ` is for programs that make clients; version ${found.info.version}.`));
  const groups = new Map();
  for (const [path, methods] of Object.entries(found.paths)) {
    for (const [method, route] of Object.entries(methods)) {
      const tag = route.tags?.[0] || "further";
      groups.set(tag, [...(groups.get(tag) || []), routeOf(path, method, route)]);
    }
  }
  const sections = [...groups].map(([tag, routes]) => make("section", {}, make("h2", {}, tag[0].toUpperCase() + tag.slice(1)), ...routes));
  show(byId("routes"), ...(sections.length ? sections : [make("p", {class: "empty"}, "There are no routes.")]));
}

read().catch(error => {
  show(byId("routes"));
  showProblem(byId("problem"), error);
});
