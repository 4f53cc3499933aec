// What n8n does with a credential of DigitalOcean's node, by the node's own definitions: fills in the header, sends the
// credential's test request and a completion. `node ask.mjs CREDENTIALS-FILE URL`, in the folder where the node is
// installed. n8n itself is not: its licence is no open-source one. An expression of n8n is JavaScript in double braces.
import Module, { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const load = Module._load;
Module._load = (name, ...rest) => (name === "n8n-workflow" ? { NodeApiError: Error } : load(name, ...rest));
const require = createRequire(`${process.cwd()}/`);
const place = "@digitalocean/n8n-nodes-digitalocean-gradient-serverless-inference/dist";
const { DigitalOceanServerlessInferenceApi } = require(
  `${place}/credentials/DigitalOceanServerlessInferenceApi.credentials.js`,
);
const { textOperations } = require(`${place}/nodes/ServerlessInference/TextDescription.js`);

const [file, url] = process.argv.slice(2);
const [credential] = JSON.parse(readFileSync(file, "utf8"));
const definition = new DigitalOceanServerlessInferenceApi();
if (credential.type !== definition.name) throw new Error(`a credential of the type ${credential.type}`);
const fields = definition.properties.map((property) => property.name);
if (Object.keys(credential.data).join() !== fields.join()) throw new Error(`its fields are ${fields}`);

const filled = (value) =>
  value.replace(/^=/, "").replace(/\{\{(.*?)\}\}/g, (_, code) => Function("$credentials", `return ${code}`)(credential.data));
const headers = { "content-type": "application/json" };
for (const [name, value] of Object.entries(definition.authenticate.properties.headers)) headers[name] = filled(value);

const here = (base) => base.replace("https://inference.do-ai.run", url);
const { baseURL, url: tested } = definition.test.request;
const test = await fetch(here(baseURL) + tested, { headers });
const { method, url: asked } = textOperations[0].options[0].routing.request;
const body = JSON.stringify({ model: "llama3.3-70b-instruct", messages: [{ role: "user", content: "ping" }] });
const answer = await fetch(here(baseURL) + asked, { method, headers, body });
const text = answer.ok ? (await answer.json()).choices[0].message.content : "";
console.log(JSON.stringify({ test: test.status, status: answer.status, text }));
