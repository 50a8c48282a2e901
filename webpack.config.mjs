/**
 * What ships: the extension, its webviews, and the runtime's programs. `scripts/build.ts` runs it and packs the rest.
 * Programs that travel in a ConfigMap are single files; the extension and the CLI keep lazily loaded chunks.
 */
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { EsbuildPlugin } from "esbuild-loader";
import webpack from "webpack";

const root = import.meta.dirname;
const development = process.env.WEFT_BUILD === "development";

/** @returns {import("webpack").Configuration} */
function base(name, target) {
  return {
    name,
    mode: "production",
    target,
    context: root,
    devtool: development ? "source-map" : false,
    resolve: { extensions: [".ts", ".js"] },
    module: {
      rules: [{ test: /\.ts$/, loader: "esbuild-loader", options: { target: "es2024", tsconfigRaw: {} } }],
    },
    optimization: {
      minimize: !development,
      minimizer: [new EsbuildPlugin({ target: "es2024", legalComments: "none" })],
    },
    performance: { hints: false },
    stats: "errors-warnings",
    cache: {
      type: "filesystem",
      cacheDirectory: resolve(root, "node_modules/.cache/webpack"),
      buildDependencies: { config: [import.meta.filename] },
    },
  };
}

/** A Node program. `single`: everything in one file, dynamic imports still run on demand. */
function program(name, entry, output, { single = false, externals = {}, command = false } = {}) {
  const config = base(name, "node24");
  return {
    ...config,
    entry: { [output.replace(/^.*\//, "").replace(/\.cjs$/, "")]: resolve(root, entry) },
    output: {
      path: resolve(root, "dist", output.replace(/\/[^/]*$/, "")),
      filename: "[name].cjs",
      chunkFilename: "[name].cjs",
      // Chunks are named by numbers that change: old ones must not be packed.
      clean: !single,
      library: { type: "commonjs2" },
    },
    externals,
    // grpc-js reads .proto files with it for services that nobody here offers (channelz, ORCA): a good part of the controller's bundle.
    resolve: { ...config.resolve, alias: { "@grpc/proto-loader": false } },
    module: {
      ...config.module,
      // createRequire means Node's own: addons and what the loader runs are no part of a bundle.
      parser: { javascript: { createRequire: false, ...(single ? { dynamicImportMode: "eager" } : {}) } },
    },
    plugins: [
      // Optional speed-ups of ws; absent here on purpose.
      new webpack.IgnorePlugin({ resourceRegExp: /^(bufferutil|utf-8-validate)$/ }),
      // Run by its name, through package.json's `bin`.
      ...(command ? [new webpack.BannerPlugin({ banner: "#!/usr/bin/env node", raw: true, entryOnly: true })] : []),
    ],
  };
}

/** A page of a panel: `webviews/<name>/main.ts` and its `style.css`. */
function webview(name) {
  const folder = resolve(root, "webviews", name);
  const config = base(name, "web");
  return {
    ...config,
    entry: { [name]: [`${folder}/main.ts`, `${folder}/style.css`] },
    output: { path: resolve(root, "dist/webviews"), filename: "[name].js" },
    module: {
      rules: [
        ...config.module.rules,
        { test: /\.css$/, type: "asset/resource", generator: { filename: `${name}.css` } },
      ],
    },
  };
}

const targets = {
  proxy: program("proxy", "runtime/proxy/main.ts", "runtime/proxy/main.cjs", { single: true }),
  controller: program("controller", "runtime/controller/main.ts", "runtime/controller/main.cjs", { single: true }),
  loader: program("loader", "runtime/proxy/loader/loader.ts", "runtime/loader.cjs", { single: true }),
  demo: program("demo", "runtime/demo/main.ts", "runtime/demo/main.cjs", { single: true }),
  cli: program("cli", "runtime/cli/main.ts", "cli/weft.cjs", { command: true }),
  extension: program("extension", "extension/main.ts", "extension/main.cjs", {
    externals: { vscode: "commonjs vscode" },
  }),
  host: program("host", "test/host/index.ts", "test/host.cjs", {
    single: true,
    externals: { vscode: "commonjs vscode", mocha: "commonjs mocha" },
  }),
  tap: webview("tap"),
  plan: webview("plan"),
};

export default (env = {}) => {
  const wanted = typeof env.only === "string" ? env.only.split(",") : Object.keys(targets);
  const missing = wanted.filter((name) => !(name in targets));
  if (missing.length > 0)
    throw new Error(`no such target: ${missing.join(", ")} (there are ${Object.keys(targets).join(", ")})`);
  const present = wanted
    .map((name) => targets[name])
    .filter((config) => existsSync([Object.values(config.entry)[0]].flat()[0]));
  return present;
};
