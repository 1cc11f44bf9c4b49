import type { Store } from "./store";
import { Logger, type Level as L } from "./log";
import Base from "./base";
import fs = require("fs");
export { helper } from "./helper";

/** What a store can do. */
export interface Shop<T> extends Named {
  readonly name: string;
  open(hour: number): Promise<T>;
}

export type Price = { amount: number; currency: string };

export enum State {
  Open,
  Closed = "closed",
}

export abstract class Order<T> extends Base implements Shop<T> {
  private log: Logger = new Logger();
  constructor(private readonly store: Store, public name: string) {
    super();
  }

  @cached()
  async price(currency: string): Promise<Price> {
    const total: Price = await this.store.sum(currency);
    return total;
  }

  abstract close(): void;
}

namespace Util {
  export function twice(n: number): number {
    return n * 2;
  }
}

export const load = async (path: string): Promise<Order<Price>> => {
  return parse(path);
};

declare function declared(a: string): void;
