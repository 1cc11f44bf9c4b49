// Whether stylua would leave the plugin's Lua as it is; with --write, it is formatted.
//
//   node editors/neovim/tests/format.mjs FOLDER [--write]
//
// FOLDER is that of the npm package @johnnymorganz/stylua, stylua as WebAssembly: its programs are
// downloaded from a place that not every machine reaches. Settings are those of .stylua.toml.

import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const [folder, flag] = process.argv.slice(2);
const stylua = await import(pathToFileURL(join(resolve(folder), 'stylua_lib_node.mjs')).href);
const root = dirname(dirname(fileURLToPath(import.meta.url)));

function settings() {
  const config = stylua.Config.new();
  const enums = { indent_type: stylua.IndentType, quote_style: stylua.QuoteStyle };
  const lines = readFileSync(join(root, '.stylua.toml'), 'utf-8').split('\n');
  for (const [, name, value] of lines.map((line) => line.match(/^(\w+) = (.+)$/)).filter(Boolean)) {
    const plain = JSON.parse(value);
    config[name] = name in enums ? enums[name][plain] : plain;
  }
  return config;
}

let wrong = 0;
for (const name of readdirSync(root, { recursive: true }).filter((one) => one.endsWith('.lua'))) {
  const file = join(root, name);
  const text = readFileSync(file, 'utf-8');
  const made = stylua.formatCode(text, settings(), undefined, stylua.OutputVerification.None);
  if (made === text) continue;
  wrong += 1;
  if (flag === '--write') writeFileSync(file, made);
  console.error(`${flag === '--write' ? 'formatted' : 'would be formatted'}: ${name}`);
}
if (wrong && flag !== '--write') process.exit(1);
