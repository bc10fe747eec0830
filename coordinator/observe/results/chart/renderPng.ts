import { crc32, deflateSync } from "node:zlib";
import { dotFont, hasDot } from "./dotFont.ts";
import { background, dashLength, type Picture, type Point, type Shape, type TextShape, textColor } from "./shapes.ts";

/** Pixels of the image per pixel of the picture, for sharp screens. */
const scale = 2;
/** Pixels of the image per dot of a character. */
const dotSize = { text: 2, heading: 3 } as const;

/** The picture as PNG: for places that take no SVG. Lines are smooth; text is of dots, because no font is sure to be there. */
export function renderPng(picture: Picture): Uint8Array {
  const canvas = new Canvas(picture.width * scale, picture.height * scale);
  for (const shape of picture.shapes) paint(canvas, shape);
  return encode(canvas);
}

function paint(canvas: Canvas, shape: Shape): void {
  switch (shape.kind) {
    case "path": {
      const points = shape.points.map(scaled);
      const pieces = shape.dashed ? dashes(points) : points.slice(1).map((point, at) => [points[at]!, point] as const);
      for (const [from, to] of pieces) canvas.line(from, to, (shape.width * scale) / 2, shape.color);
      return;
    }
    case "dot": {
      const at = scaled(shape.at);
      canvas.line(at, at, shape.radius * scale, shape.color);
      return;
    }
    case "text":
      write(canvas, shape);
  }
}

function scaled({ x, y }: Point): Point {
  return { x: x * scale, y: y * scale };
}

function dashes(points: readonly Point[]): (readonly [Point, Point])[] {
  return points.slice(1).flatMap((to, at) => {
    const from = points[at]!;
    const length = Math.hypot(to.x - from.x, to.y - from.y);
    const place = (distance: number) => ({
      x: from.x + ((to.x - from.x) * distance) / length,
      y: from.y + ((to.y - from.y) * distance) / length,
    });
    const step = dashLength * scale;
    return Array.from(
      { length: Math.ceil(length / (2 * step)) },
      (_, dash) => [place(2 * dash * step), place(Math.min(length, (2 * dash + 1) * step))] as const,
    );
  });
}

function write(canvas: Canvas, { anchor, at, heading, text, upright }: TextShape): void {
  const dot = heading ? dotSize.heading : dotSize.text;
  const length = text.length * dotFont.advance * dot - dot;
  const before = { start: 0, middle: length / 2, end: length }[anchor];
  const origin = scaled(at);
  for (const [index, character] of [...text].entries()) {
    for (let column = 0; column < dotFont.columns; column++) {
      for (let row = 0; row < dotFont.rows + 1; row++) {
        if (!hasDot(character, column, row)) continue;
        const along = (index * dotFont.advance + column) * dot - before;
        const above = (dotFont.rows - row) * dot;
        const x = upright ? origin.x - above : origin.x + along;
        const y = upright ? origin.y - along - dot : origin.y - above;
        canvas.square(Math.round(x), Math.round(y), dot, textColor);
      }
    }
  }
}

/** Red, green and blue of each pixel, row by row, from 0 to 255. */
class Canvas {
  readonly pixels: Uint8ClampedArray;

  constructor(
    readonly width: number,
    readonly height: number,
  ) {
    this.pixels = new Uint8ClampedArray(width * height * 3).fill(255);
    const fill = channels(background);
    for (let at = 0; at < this.pixels.length; at++) this.pixels[at] = fill[at % 3]!;
  }

  /** A line with round ends; how much of a pixel it covers follows from the distance of the pixel's middle. */
  line(from: Point, to: Point, halfWidth: number, color: string): void {
    const reach = halfWidth + 1;
    const [dx, dy] = [to.x - from.x, to.y - from.y];
    const square = dx * dx + dy * dy;
    const fill = channels(color);
    const [top, bottom] = [Math.floor(Math.min(from.y, to.y) - reach), Math.ceil(Math.max(from.y, to.y) + reach)];
    const [left, right] = [Math.floor(Math.min(from.x, to.x) - reach), Math.ceil(Math.max(from.x, to.x) + reach)];
    for (let y = top; y <= bottom; y++) {
      for (let x = left; x <= right; x++) {
        const [px, py] = [x + 0.5 - from.x, y + 0.5 - from.y];
        const along = square === 0 ? 0 : Math.min(1, Math.max(0, (px * dx + py * dy) / square));
        const distance = Math.hypot(px - along * dx, py - along * dy);
        this.#blend(x, y, Math.min(1, Math.max(0, halfWidth + 0.5 - distance)), fill);
      }
    }
  }

  square(left: number, top: number, size: number, color: string): void {
    const fill = channels(color);
    for (let y = top; y < top + size; y++) for (let x = left; x < left + size; x++) this.#blend(x, y, 1, fill);
  }

  #blend(x: number, y: number, share: number, fill: readonly number[]): void {
    if (share === 0 || x < 0 || y < 0 || x >= this.width || y >= this.height) return;
    const at = 3 * (y * this.width + x);
    for (let channel = 0; channel < 3; channel++) {
      const below = this.pixels[at + channel]!;
      this.pixels[at + channel] = below + share * (fill[channel]! - below);
    }
  }
}

function channels(color: string): number[] {
  return [1, 3, 5].map((at) => Number.parseInt(color.slice(at, at + 2), 16));
}

/** PNG (RFC 2083): 8 bits of red, green and blue, each row after the one above it ("up", filter 2). */
function encode({ height, pixels, width }: Canvas): Uint8Array {
  const stride = 3 * width;
  const rows = new Uint8Array(height * (stride + 1));
  for (let row = 0; row < height; row++) {
    rows[row * (stride + 1)] = 2;
    for (let at = 0; at < stride; at++) {
      const above = row === 0 ? 0 : pixels[(row - 1) * stride + at]!;
      rows[row * (stride + 1) + 1 + at] = pixels[row * stride + at]! - above;
    }
  }
  const header = new DataView(new ArrayBuffer(13));
  header.setUint32(0, width);
  header.setUint32(4, height);
  header.setUint8(8, 8);
  header.setUint8(9, 2);
  return Buffer.concat([
    Buffer.from("89504e470d0a1a0a", "hex"),
    chunk("IHDR", new Uint8Array(header.buffer)),
    chunk("IDAT", deflateSync(rows, { level: 9 })),
    chunk("IEND", new Uint8Array(0)),
  ]);
}

function chunk(type: string, data: Uint8Array): Buffer {
  const body = Buffer.concat([Buffer.from(type, "latin1"), data]);
  const frame = Buffer.alloc(8 + body.length);
  frame.writeUInt32BE(data.length, 0);
  body.copy(frame, 4);
  frame.writeUInt32BE(crc32(body), 4 + body.length);
  return frame;
}
