import React, { useState } from "react";

interface Props {
  title: string;
}

export function Cart({ title }: Props) {
  const [open, setOpen] = useState(false);
  return <button onClick={() => setOpen(!open)}>{title}</button>;
}

export const Line: React.FC<Props> = (props) => <li>{props.title}</li>;
