/** A picture as a list of shapes in painting order, in pixels from the upper left corner; colours as "#rrggbb". */
export interface Picture {
  readonly width: number;
  readonly height: number;
  readonly title: string;
  readonly shapes: readonly Shape[];
}

export interface Point {
  readonly x: number;
  readonly y: number;
}

export type Shape =
  | {
      readonly kind: "path";
      readonly points: readonly Point[];
      readonly color: string;
      readonly width: number;
      readonly dashed?: boolean;
    }
  | { readonly kind: "dot"; readonly at: Point; readonly radius: number; readonly color: string }
  | TextShape;

export interface TextShape {
  readonly kind: "text";
  /** On the base line, at the side that `anchor` names. */
  readonly at: Point;
  readonly text: string;
  readonly anchor: "start" | "middle" | "end";
  readonly heading?: boolean;
  /** Runs upwards. */
  readonly upright?: boolean;
}

export const background = "#ffffff";
export const textColor = "#24292f";
/** Length of a dash and of the gap behind it. */
export const dashLength = 4;
