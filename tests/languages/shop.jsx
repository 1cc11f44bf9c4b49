import { Cart as Basket } from "./cart";

// One row of the table.
export function Row({ name }) {
  return <td className="row">{name}</td>;
}
