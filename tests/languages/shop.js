import fs from "fs";
import { readFile, writeFile as write } from "./files.js";
import * as path from "path";
import "./polyfill";
const http = require("http");
const { join, resolve: res } = require("path");

// How many lines an order may have.
export const LIMIT = 10;

/**
 * What a customer bought. Once.
 */
export class Order extends Base {
  static count = 0;
  #log;

  constructor(store) {
    super();
    this.store = store;
  }

  async price(currency = "EUR") {
    const rate = (x) => x * 2;
    return rate(this.total);
  }
}

export default function load(path, { encoding } = {}) {
  function helper() {}
  return helper();
}

export const twice = (n) => n * 2;
module.exports.late = function (a) {
  return a;
};
function* walk(tree) {}
