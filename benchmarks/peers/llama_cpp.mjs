// llama.cpp through node-llama-cpp: one sequence that keeps what the next prompt begins with.
// Arguments: the folder with node_modules, the GGUF file, threads, context, flash attention (0, 1).
// Protocol: see Worker in __init__.py.

import path from "node:path";
import process from "node:process";
import readline from "node:readline";
import { pathToFileURL } from "node:url";

const [folder, gguf, threads, contextSize, flash] = process.argv.slice(2);
const entry = path.join(folder, "node_modules", "node-llama-cpp", "dist", "index.js");
const say = (line) => process.stdout.write(JSON.stringify(line) + "\n");

const { getLlama } = await import(pathToFileURL(entry));
const llama = await getLlama({
    gpu: false,
    build: "never",
    progressLogs: false,
    maxThreads: Number(threads),
    logger: (level, message) => process.stderr.write(`# llama.cpp: ${message}\n`),
    logLevel: "error",
});
const model = await llama.loadModel({ modelPath: gguf });
const context = await model.createContext({
    contextSize: Number(contextSize),
    threads: Number(threads),
    flashAttention: flash === "1",
});
const sequence = context.getSequence();

async function answer({ prompt, tokens: limit }) {
    const began = performance.now();
    const tokens = typeof prompt === "string" ? model.tokenize(prompt, true) : prompt;
    await sequence.adaptStateToTokens(tokens.slice(0, -1), false);
    const cached = sequence.nextTokenIndex;
    const found = [];
    let first = 0;
    for await (const token of sequence.evaluate(tokens.slice(cached), { temperature: 0 })) {
        found.push(token);
        first ||= performance.now() - began;
        if (found.length >= limit) break;
    }
    return {
        text: model.detokenize(found),
        tokens: found.length,
        prompt_tokens: tokens.length,
        cached_tokens: cached,
        first_ms: first || performance.now() - began,
    };
}

say({});
for await (const line of readline.createInterface({ input: process.stdin }))
    say(await answer(JSON.parse(line)));
process.exit(0);
