// SPDX-License-Identifier: BSD-2-Clause
// Reads manifests of Kubernetes (YAML) and jobs of Nomad (HCL), and prints a JSON array of {file, objects,
// faults}. The objects of Kubernetes are checked against the types of its API: a field that a type does
// not have, or a value of another type, is a fault.
// Usage: node manifests.js FOLDER FILE...; FOLDER has the packages.
'use strict';
const fs = require('fs'), path = require('path');
const folder = path.resolve(process.argv[2]);
const load = (name) => require(require.resolve(name, { paths: [folder] }));

function readYaml(row, text) {
    const documents = load('yaml').parseAllDocuments(text);
    row.faults = documents.flatMap((document) => document.errors.map((error) => error.message));
    row.objects = documents.map((document) => document.toJS());
}

async function readHcl(row, text) {
    try {
        row.objects = [await load('@cdktf/hcl2json').parse(row.file, text)];
    } catch (why) {
        row.faults.push(String(why.message || why));
    }
}

// The objects as a program of TypeScript, in which each one has its type.
function programOf(objects) {
    return objects.map((object, i) => {
        const group = object.apiVersion.includes('/') ? object.apiVersion : `core/${object.apiVersion}`;
        return `import type { ${object.kind} as T${i} } from 'kubernetes-types/${group}';\n` +
            `export const o${i}: T${i} = ${JSON.stringify(object, null, 1)};\n`;
    }).join('');
}

function checkTypes(rows) {
    const ts = load('typescript');
    const sources = new Map(rows.map((row, i) => [path.join(folder, `manifest${i}.ts`), row]));
    const options = { strict: true, noEmit: true, types: [], lib: ['lib.es2020.d.ts'],
                      module: ts.ModuleKind.CommonJS };
    const host = ts.createCompilerHost(options);
    const read = host.getSourceFile, exists = host.fileExists;
    host.getSourceFile = (name, ...rest) => sources.has(name)
        ? ts.createSourceFile(name, programOf(sources.get(name).objects), ...rest)
        : read.call(host, name, ...rest);
    host.fileExists = (name) => sources.has(name) || exists.call(host, name);
    const program = ts.createProgram([...sources.keys()], options, host);
    for (const fault of ts.getPreEmitDiagnostics(program)) {
        const text = ts.flattenDiagnosticMessageText(fault.messageText, '\n');
        if (!fault.file || !sources.has(fault.file.fileName))
            throw new Error(text);
        const { line } = fault.file.getLineAndCharacterOfPosition(fault.start);
        sources.get(fault.file.fileName).faults.push(
            `${fault.file.text.split('\n')[line].trim()} ${text}`);
    }
}

async function main() {
    const rows = process.argv.slice(3).map((file) => ({ file, objects: [], faults: [] }));
    for (const row of rows) {
        const text = fs.readFileSync(row.file, 'utf8');
        await (row.file.endsWith('.hcl') ? readHcl(row, text) : readYaml(row, text));
    }
    const typed = rows.filter((row) => !row.file.endsWith('.hcl') && !row.faults.length);
    if (typed.length)
        checkTypes(typed);
    console.log(JSON.stringify(rows));
}

main().catch((why) => {
    console.error(`manifests.js: ${why.message || why}`);
    process.exit(1);
});
