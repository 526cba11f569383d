// A heatmap to take away, with its title, axes and colour bar: PNG from a larger canvas, SVG with the cells as one picture
// and everything else as text and shapes. Fetched when somebody asks for a picture.

const TITLE = 34; // px above the cells

/** Save what is shown, zoom included, as "png" or "svg"; `picture` and `pen` are the page's own way to draw it. */
export async function take(map, { picture, pen }, format) {
  const [width, height] = [Math.max(700, map.clientWidth), Math.max(360, map.head.height) + TITLE];
  const body = format === "svg" ? await svg(map, picture, width, height) : await png(map, picture, pen, width, height);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(body);
  link.download = `${map.head.name}.${format}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

function png(map, picture, pen, width, height) {
  const canvas = new OffscreenCanvas(2 * width, 2 * height);
  const context = canvas.getContext("2d");
  context.scale(2, 2);
  const drawn = pen(context, map.look);
  drawn.box(0, 0, width, height, map.look.paper);
  drawn.words(10, 14, map.head.heading, { size: 14, bold: true });
  picture(drawn, map, width, height, TITLE);
  return canvas.convertToBlob({ type: "image/png" });
}

async function svg(map, picture, width, height) {
  const { head, look, view, image } = map;
  const parts = [];
  const escaped = (words) => String(words).replace(/[&<>"']/g, (mark) => `&#${mark.charCodeAt(0)};`);
  const n = (value) => +value.toFixed(2);
  const [across, down] = [Math.ceil(view.x1) - Math.floor(view.x0), Math.ceil(view.y1) - Math.floor(view.y0)];
  const part = new OffscreenCanvas(across, down); // only the cells that are shown
  part.getContext("2d").drawImage(image, -Math.floor(view.x0), -Math.floor(view.y0));
  const cells = await url(await part.convertToBlob({ type: "image/png" }));
  const written = {
    words: (x, y, words, { anchor = "start", turned = false, size = 11, bold = false }) =>
      parts.push(`<text x="${n(x)}" y="${n(y)}" text-anchor="${anchor}" dominant-baseline="central" font-size="${size}"${bold ? ' font-weight="600"' : ""}${turned ? ` transform="rotate(-90 ${n(x)} ${n(y)})"` : ""}>${escaped(words)}</text>`),
    box: (x, y, w, h, fill) => parts.push(`<rect x="${n(x)}" y="${n(y)}" width="${n(w)}" height="${n(h)}" fill="${fill}"/>`),
    line: (x0, y0, x1, y1) => parts.push(`<path d="M${n(x0)} ${n(y0)}L${n(x1)} ${n(y1)}" stroke="${look.ink}" stroke-width="0.6"/>`),
    frame: (x, y, w, h) => parts.push(`<rect x="${n(x)}" y="${n(y)}" width="${n(w)}" height="${n(h)}" fill="none" stroke="${look.ink}" stroke-width="0.4"/>`),
    hatched: (x, y, w, h) => parts.push(`<rect x="${n(x)}" y="${n(y)}" width="${n(w)}" height="${n(h)}" fill="url(#hole)"/>`),
    cells: (_, shown, box) => {
      const [cw, ch] = [box.w / (shown.x1 - shown.x0), box.h / (shown.y1 - shown.y0)];
      const [x, y] = [box.x - (shown.x0 - Math.floor(shown.x0)) * cw, box.y - (shown.y0 - Math.floor(shown.y0)) * ch];
      parts.push(
        `<clipPath id="cells"><rect x="${n(box.x)}" y="${n(box.y)}" width="${n(box.w)}" height="${n(box.h)}"/></clipPath>`,
        `<image clip-path="url(#cells)" x="${n(x)}" y="${n(y)}" width="${n(across * cw)}" height="${n(down * ch)}" preserveAspectRatio="none" style="image-rendering:pixelated" href="${cells}"/>`,
      );
    },
  };
  written.words(10, 14, head.heading, { size: 14, bold: true });
  picture(written, map, width, height, TITLE);
  const document = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="${escaped(look.font)}" fill="${look.ink}">
<title>${escaped(head.heading)}</title><desc>${escaped(head.alt)}</desc>
<defs><pattern id="hole" width="6" height="6" patternUnits="userSpaceOnUse"><path d="M-6 6L0 0M0 6L6 0M6 6L12 0" stroke="${head.hole}" stroke-width="1.4"/></pattern></defs>
<rect width="100%" height="100%" fill="${look.paper}"/>
${parts.join("\n")}
</svg>`;
  return new Blob([document], { type: "image/svg+xml" });
}

function url(blob) {
  return new Promise((resolve) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.readAsDataURL(blob);
  });
}
