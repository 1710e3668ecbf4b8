// The perturbations of an image, and their values in the address.

import { tabValue } from "../../state/view";

type Name = "angle" | "noise" | "across" | "down" | "blur" | "light";
export type Values = Record<Name, number>;

export interface Dial {
  name: Name;
  label: string;
  min: number;
  max: number;
  step: number;
  text: (value: number) => string;
}

const signedText = (value: number, unit: string): string => `${value > 0 ? "+" : value < 0 ? "−" : ""}${Math.abs(value)}${unit}`;
const shift = (value: number): string => signedText(Math.round(100 * value), " %");
const tenths = (value: number): string => `${(100 * value).toFixed(1)} %`;

export const DIALS: readonly Dial[] = [
  { name: "angle", label: "Rotation", min: -45, max: 45, step: 1, text: (value) => signedText(value, "°") },
  { name: "noise", label: "Noise", min: 0, max: 0.3, step: 0.005, text: tenths },
  { name: "across", label: "Shift right", min: -0.25, max: 0.25, step: 0.01, text: shift },
  { name: "down", label: "Shift down", min: -0.25, max: 0.25, step: 0.01, text: shift },
  { name: "blur", label: "Blur", min: 0, max: 0.06, step: 0.001, text: tenths },
  { name: "light", label: "Brightness", min: -0.4, max: 0.4, step: 0.01, text: shift },
];

/** From the address; a value that no slider has is 0. */
export function valuesOfView(): Values {
  const entries = DIALS.map(({ name, min, max }) => {
    const value = Number(tabValue(`trust.${name}`) || 0);
    return [name, Number.isFinite(value) ? Math.min(max, Math.max(min, value)) : 0];
  });
  return Object.fromEntries(entries) as Values;
}
