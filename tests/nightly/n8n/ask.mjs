// What n8n does with a credential of DigitalOcean's node, by the node's own definition and n8n's own library: resolves
// its header, sends its test request and a completion. `node ask.mjs CREDENTIALS-FILE URL`, in a folder with both.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const require = createRequire(`${process.cwd()}/`);
const { Workflow } = require("n8n-workflow");
const place = "@digitalocean/n8n-nodes-digitalocean-gradient-serverless-inference/dist";
const { DigitalOceanServerlessInferenceApi } = require(`${place}/credentials/DigitalOceanServerlessInferenceApi.credentials.js`);
const { textOperations } = require(`${place}/nodes/ServerlessInference/TextDescription.js`);

const [file, url] = process.argv.slice(2);
const [credential] = JSON.parse(readFileSync(file, "utf8"));
const definition = new DigitalOceanServerlessInferenceApi();
if (credential.type !== definition.name) throw new Error(`a credential of the type ${credential.type}`);
const fields = definition.properties.map((property) => property.name);
if (Object.keys(credential.data).some((name) => !fields.includes(name))) throw new Error(`its fields are ${fields}`);

const node = { id: "n", name: "n", type: "none", typeVersion: 1, position: [0, 0], parameters: {} };
const nodeTypes = { getByNameAndVersion: () => ({ description: { properties: [] } }), getByName: () => undefined };
const workflow = new Workflow({ id: "w", nodes: [node], connections: {}, active: false, nodeTypes });
const resolved = (value) =>
  workflow.expression.getSimpleParameterValue(node, value, "internal", { $credentials: credential.data }, undefined, "");
const headers = { "content-type": "application/json" };
for (const [name, value] of Object.entries(definition.authenticate.properties.headers)) headers[name] = resolved(value);

const here = (base) => base.replace("https://inference.do-ai.run", url);
const { baseURL, url: tested } = definition.test.request;
const test = await fetch(here(baseURL) + tested, { headers });
const { method, url: asked } = textOperations[0].options[0].routing.request;
const body = JSON.stringify({ model: "llama3.3-70b-instruct", messages: [{ role: "user", content: "ping" }] });
const answer = await fetch(here(baseURL) + asked, { method, headers, body });
const text = answer.ok ? (await answer.json()).choices[0].message.content : "";
console.log(JSON.stringify({ test: test.status, status: answer.status, text }));
