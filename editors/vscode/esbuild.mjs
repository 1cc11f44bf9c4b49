/** Bundles the extension and its panel into dist/, or with `--tests` the unit tests into build/. */

import { mkdirSync, readdirSync } from "node:fs";
import { build } from "esbuild";

const common = {
  bundle: true,
  charset: "utf8",
  logLevel: "warning",
  sourcemap: process.argv.includes("--maps"),
  minify: !process.argv.includes("--maps"),
};

if (process.argv.includes("--tests")) {
  const tests = readdirSync("tests").filter((name) => name.endsWith(".test.ts"));
  await build({
    ...common,
    minify: false,
    platform: "node",
    target: "node20",
    format: "cjs",
    entryPoints: tests.map((name) => `tests/${name}`),
    outdir: "build/tests",
  });
} else {
  // Two files, so that starting does not read the language client's library: see src/client.ts.
  await build({
    ...common,
    platform: "node",
    target: "node20",
    format: "cjs",
    entryPoints: ["src/extension.ts", "src/languageClient.ts"],
    outdir: "dist",
    external: ["vscode", "./languageClient.js"],
  });
  await build({
    ...common,
    platform: "browser",
    target: "es2022",
    format: "iife",
    entryPoints: { panel: "src/webview/panel.ts" },
    outdir: "dist",
  });
  mkdirSync("../../build", { recursive: true }); // where the package goes
}
