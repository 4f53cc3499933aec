// Declares what data.json says: the resources, variables and outputs of a program in YAML.
import * as fs from "fs";

import * as pulumi from "@pulumi/pulumi";
import * as keyturn from "pulumi-keyturn";

interface Declared {
    type: string;
    properties?: any;
    options?: pulumi.CustomResourceOptions;
}

const program = JSON.parse(fs.readFileSync("data.json", "utf8"));
const known: Record<string, any> = {};

/** Returns a value in which each `${name}` and `${name.output}` is what it refers to. */
function resolved(given: any): any {
    const found = typeof given === "string" ? /^\$\{([^.}]+)(?:\.(\w+))?\}$/.exec(given) : null;
    if (found) {
        return found[2] ? known[found[1]][found[2]] : known[found[1]];
    }
    if (Array.isArray(given)) {
        return given.map(resolved);
    }
    if (given !== null && typeof given === "object") {
        return Object.fromEntries(Object.entries(given).map(([name, value]) => [name, resolved(value)]));
    }
    return given;
}

function declare(name: string, { type, properties, options }: Declared): pulumi.Resource {
    const [inputs, opts] = [resolved(properties ?? {}), resolved(options ?? {})];
    switch (type) {
        case "keyturn:index:ModelAccessKey":
            return new keyturn.ModelAccessKey(name, inputs as keyturn.ModelAccessKeyArgs, opts);
        case "keyturn:index:SmokeCheck":
            return new keyturn.SmokeCheck(name, inputs as keyturn.SmokeCheckArgs, opts);
        case "pulumi:providers:keyturn":
            return new keyturn.Provider(name, inputs as keyturn.ProviderArgs, opts);
        default:
            throw new Error(`unknown type ${type}`);
    }
}

for (const name of program.secrets ?? []) {
    known[name] = new pulumi.Config().requireSecret(name);
}
for (const [name, declared] of Object.entries<Declared>(program.resources ?? {})) {
    known[name] = declare(name, declared);
}
if (program.variables?.listed) {
    known["listed"] = keyturn.listKeysOutput();
}

export = resolved(program.outputs ?? {});
