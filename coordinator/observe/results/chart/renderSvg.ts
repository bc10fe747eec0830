import { background, dashLength, type Picture, type Point, type Shape, textColor } from "./shapes.ts";

/** The picture as SVG, with the reader's own fonts. */
export function renderSvg({ height, shapes, title, width }: Picture): string {
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" font-family="system-ui, sans-serif" font-size="13">`,
    `<title>${escaped(title)}</title>`,
    `<rect width="${width}" height="${height}" fill="${background}"/>`,
    ...shapes.map(element),
    "</svg>",
    "",
  ].join("\n");
}

function element(shape: Shape): string {
  switch (shape.kind) {
    case "path": {
      const { color, dashed, points, width } = shape;
      const dashes = dashed ? ` stroke-dasharray="${dashLength} ${dashLength}"` : "";
      return `<polyline points="${points.map(place).join(" ")}" fill="none" stroke="${color}" stroke-width="${width}" stroke-linejoin="round"${dashes}/>`;
    }
    case "dot":
      return `<circle cx="${coordinate(shape.at.x)}" cy="${coordinate(shape.at.y)}" r="${shape.radius}" fill="${shape.color}"/>`;
    case "text": {
      const { anchor, at, heading, text, upright } = shape;
      const font = heading ? ' font-size="16" font-weight="600"' : "";
      const turn = upright ? ` transform="rotate(-90 ${coordinate(at.x)} ${coordinate(at.y)})"` : "";
      return `<text x="${coordinate(at.x)}" y="${coordinate(at.y)}" text-anchor="${anchor}" fill="${textColor}"${font}${turn}>${escaped(text)}</text>`;
    }
  }
}

function place({ x, y }: Point): string {
  return `${coordinate(x)},${coordinate(y)}`;
}

function coordinate(value: number): string {
  return String(Math.round(value * 10) / 10);
}

function escaped(content: string): string {
  return content.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
