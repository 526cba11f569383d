// A heatmap on a canvas: one byte a cell and a table of 256 colours, painted with one putImageData. Zoom and the cell under
// the keyboard cursor survive a refresh. Knows nothing of experts but their names. PNG and SVG are drawn by the same lines.

const LETTER = 6.6, SIZE = 11; // px: of the labels
const LINE = 16; // px
const BAR = 12; // px: width of the colour bar
const TICK = 76; // px between two marks of the x axis
const NEAR = 4; // px: a drag shorter than this is a click
const DIGEST = 16; // letters, as dashboard/figures/cells.py writes them
const VERSION = new URL(import.meta.url).search; // "?v=…", the same for every file of this server
const SECONDS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800];
const HINT = "Arrow keys move the cursor, with Shift they move what is shown; plus and minus zoom, Home shows everything, Enter pins the expert below.";
const text = new TextDecoder();

/** Draw what was sent: 16 letters of digest, 4 bytes length of the head (little endian), the head as JSON, rows × columns bytes. */
export function draw({ data, parentElement, setTriggerValue }) {
  const map = place(parentElement);
  map.look = theme(parentElement);
  const mark = [text.decode(data.subarray(0, DIGEST)), map.look.ink, map.look.paper].join();
  map.pin = (row) => setTriggerValue("pinned", map.head.rows[row]);
  if (map.drawn === mark) return;
  const length = new DataView(data.buffer, data.byteOffset + DIGEST).getUint32(0, true);
  map.head = JSON.parse(text.decode(data.subarray(DIGEST + 4, DIGEST + 4 + length)));
  map.cells = data.subarray(DIGEST + 4 + length);
  map.tokens = undefined;
  map.image = painted(map.head, map.cells);
  described(map);
  const size = [map.head.rows.length, map.head.revision].join();
  if (map.size !== size || map.whole) reset(map); // what was not zoomed shows the new columns too
  map.size = size;
  if (map.cursor && (map.cursor.row >= map.head.rows.length || map.cursor.column >= map.head.x.length)) map.cursor = undefined;
  paint(map);
  map.drawn = mark;
}

/** Stop watching when the heatmap has left the page. */
export function leave({ parentElement }) {
  setTimeout(() => {
    const map = parentElement.querySelector(".moe-heatmap");
    if (map && !map.isConnected) map.watched?.disconnect();
  });
}

function place(parent) {
  const there = parent.querySelector(".moe-heatmap");
  if (there) return there;
  const map = document.createElement("div");
  map.className = "moe-heatmap";
  map.tabIndex = 0;
  Object.assign(map.style, { position: "relative", width: "100%", touchAction: "pan-y" });
  map.canvas = document.createElement("canvas");
  map.tip = document.createElement("div");
  map.tip.className = "moe-heatmap-tip";
  map.tip.setAttribute("aria-live", "polite");
  Object.assign(map.tip.style, { position: "absolute", pointerEvents: "none", padding: "4px 8px", borderRadius: "4px", fontSize: "12px", whiteSpace: "pre", display: "none", zIndex: 2 });
  map.band = document.createElement("div");
  Object.assign(map.band.style, { position: "absolute", pointerEvents: "none", display: "none", border: "1px solid", background: "rgba(128,128,128,0.25)" });
  map.append(map.canvas, map.tip, map.band, tools(map));
  parent.append(map);
  listen(map);
  return map;
}

/** The buttons: for a pointer, a finger and the Tab key alike. */
function tools(map) {
  const bar = document.createElement("div");
  bar.setAttribute("role", "toolbar");
  bar.setAttribute("aria-label", "Heatmap");
  Object.assign(bar.style, { position: "absolute", top: "0", right: "0", display: "flex", gap: "2px" });
  const middle = () => [(map.view.x0 + map.view.x1) / 2, (map.view.y0 + map.view.y1) / 2];
  const deeds = {
    "+": ["Zoom in", () => zoom(map, 0.6, ...middle())],
    "−": ["Zoom out", () => zoom(map, 1 / 0.6, ...middle())],
    "⤢": ["Show everything", () => (reset(map), paint(map))],
    PNG: ["Download PNG", () => taken(map, "png")],
    SVG: ["Download SVG", () => taken(map, "svg")],
  };
  for (const [sign, [words, deed]] of Object.entries(deeds)) {
    const button = document.createElement("button");
    Object.assign(button, { type: "button", textContent: sign, title: words, onclick: deed });
    button.setAttribute("aria-label", words);
    Object.assign(button.style, { font: "inherit", fontSize: "11px", lineHeight: "18px", minWidth: "24px", padding: "0 5px", borderRadius: "4px", border: "1px solid rgba(128,128,128,0.35)", background: "transparent", color: "inherit", cursor: "pointer" });
    bar.append(button);
  }
  return bar;
}

async function taken(map, format) {
  const { take } = await import(new URL("picture.js" + VERSION, import.meta.url).href);
  await take(map, { picture, pen }, format);
}

function described(map) {
  const { head } = map;
  map.style.height = `${head.height}px`;
  map.setAttribute("role", "application");
  map.setAttribute("aria-roledescription", "heatmap");
  map.setAttribute("aria-label", `${head.alt} ${HINT}`);
}

function theme(parent) {
  const style = getComputedStyle(parent.host ?? parent);
  const of = (name, otherwise) => style.getPropertyValue(name).trim() || otherwise;
  return { ink: of("--st-text-color", "#1c2733"), paper: of("--st-background-color", "#ffffff"), font: of("--st-font", "sans-serif") };
}

/** The cells as an image of a pixel each; a hole is transparent, so that the hatching under it shows. */
function painted(head, cells) {
  const canvas = new OffscreenCanvas(Math.max(1, head.x.length), Math.max(1, head.rows.length));
  const context = canvas.getContext("2d");
  const image = context.createImageData(canvas.width, canvas.height);
  const table = new Uint32Array(head.palette.map((hex) => (255 << 24) | (parseInt(hex.slice(4), 16) << 16) | (parseInt(hex.slice(2, 4), 16) << 8) | parseInt(hex.slice(0, 2), 16)));
  table[0] = 0;
  const pixels = new Uint32Array(image.data.buffer);
  for (let i = 0; i < cells.length; i++) pixels[i] = table[cells[i]];
  context.putImageData(image, 0, 0);
  return canvas;
}

function reset(map) {
  map.view = { x0: 0, x1: map.head.x.length, y0: 0, y1: map.head.rows.length };
  map.whole = true;
}

function paint(map) {
  const { canvas, head, look } = map;
  const [width, height, scale] = [map.clientWidth, head.height, window.devicePixelRatio || 1];
  if (!width) return;
  [canvas.width, canvas.height] = [width * scale, height * scale];
  Object.assign(canvas.style, { width: `${width}px`, height: `${height}px`, display: "block" });
  const context = canvas.getContext("2d");
  context.scale(scale, scale);
  map.box = picture(pen(context, look), map, width, height, 24);
  if (map.cursor) outline(context, map);
}

/** Everything there is to see, with whatever draws it: the canvas of the page, a larger one, or SVG. Returns where the cells lie. */
function picture(pen, { head, view, image }, width, height, top) {
  const letters = Math.max(...[view.y0, view.y1 - 1].map((row) => (head.rows[Math.floor(row)] ?? "").length), 2);
  const left = LINE + 10 + Math.min(20, letters) * LETTER;
  const right = BAR + 24 + 6 * LETTER + (width < 500 ? 0 : LINE);
  const box = { x: left, y: top, w: Math.max(10, width - left - right), h: Math.max(10, height - top - 2 * LINE - 12) };
  pen.hatched(box.x, box.y, box.w, box.h, head.hole);
  pen.cells(image, view, box);
  pen.frame(box.x, box.y, box.w, box.h);
  const across = (column) => box.x + ((column + 0.5 - view.x0) / (view.x1 - view.x0)) * box.w;
  const down = (row) => box.y + ((row + 0.5 - view.y0) / (view.y1 - view.y0)) * box.h;
  const every = Math.max(1, Math.ceil((view.y1 - view.y0) / Math.max(1, box.h / 14)));
  for (let row = Math.ceil(view.y0 / every) * every; row < view.y1; row += every) pen.words(left - 6, down(row), head.rows[row], { anchor: "end" });
  for (const [column, words] of marks(head, view, Math.max(1, Math.floor(box.w / TICK)))) {
    pen.line(across(column), box.y + box.h, across(column), box.y + box.h + 4);
    pen.words(across(column), box.y + box.h + 13, words, { anchor: "middle" });
  }
  pen.words(box.x + box.w / 2, box.y + box.h + 13 + LINE, head.title, { anchor: "middle" });
  pen.words(9, box.y + box.h / 2, head.side, { anchor: "middle", turned: true });
  colourBar(pen, head, box.x + box.w + 14, box, width);
  return box;
}

function colourBar(pen, head, x, box, width) {
  const h = box.h - 24;
  const steps = 64;
  for (let i = 0; i < steps; i++) {
    const level = 1 + Math.round(((steps - 1 - i) / (steps - 1)) * (head.saturated - 1));
    pen.box(x, box.y + (i * h) / steps, BAR, h / steps + 0.5, `#${head.palette[level]}`);
  }
  const most = head.ticks.at(-1)[0];
  for (const [load, words] of head.ticks) pen.words(x + BAR + 5, Math.min(box.y + h - 4, Math.max(box.y + 5, box.y + h * (1 - load / most))), words, {});
  pen.hatched(x, box.y + h + 10, BAR, 12, head.hole);
  pen.words(x + BAR + 5, box.y + h + 16, "no value", {});
  if (width >= 500) pen.words(width - 8, box.y + h / 2, head.scale, { anchor: "middle", turned: true });
}

/** How the canvas draws; the same for a picture to take away. */
function pen(context, look) {
  context.imageSmoothingEnabled = false;
  context.textBaseline = "middle";
  return {
    words(x, y, words, { anchor = "start", turned = false, size = SIZE, bold = false }) {
      context.save();
      context.translate(x, y);
      if (turned) context.rotate(-Math.PI / 2);
      Object.assign(context, { font: `${bold ? "600 " : ""}${size}px ${look.font}`, fillStyle: look.ink, textAlign: { start: "left", middle: "center", end: "right" }[anchor] });
      context.fillText(words, 0, 0);
      context.restore();
    },
    box(x, y, w, h, fill) {
      context.fillStyle = fill;
      context.fillRect(x, y, w, h);
    },
    line(x0, y0, x1, y1) {
      Object.assign(context, { strokeStyle: look.ink, lineWidth: 0.6 });
      context.beginPath();
      context.moveTo(x0, y0);
      context.lineTo(x1, y1);
      context.stroke();
    },
    frame(x, y, w, h) {
      Object.assign(context, { strokeStyle: look.ink, lineWidth: 0.4 });
      context.strokeRect(x, y, w, h);
    },
    hatched(x, y, w, h, colour) {
      const tile = new OffscreenCanvas(6, 6);
      const t = tile.getContext("2d");
      Object.assign(t, { strokeStyle: colour, lineWidth: 1.4 });
      for (const shift of [-6, 0, 6]) {
        t.moveTo(shift, 6);
        t.lineTo(shift + 6, 0);
      }
      t.stroke();
      context.fillStyle = context.createPattern(tile, "repeat");
      context.fillRect(x, y, w, h);
    },
    cells(image, view, box) {
      context.drawImage(image, view.x0, view.y0, view.x1 - view.x0, view.y1 - view.y0, box.x, box.y, box.w, box.h);
    },
  };
}

function outline(context, map) {
  const { x, y, w, h } = cellBox(map, map.cursor);
  if (x + w < map.box.x || y + h < map.box.y || x > map.box.x + map.box.w || y > map.box.y + map.box.h) return;
  for (const [width, colour] of [[4, map.look.paper], [2, map.look.ink]]) {
    Object.assign(context, { strokeStyle: colour, lineWidth: width });
    context.strokeRect(x, y, Math.max(3, w), Math.max(3, h));
  }
}

function cellBox({ view, box }, { row, column }) {
  const [w, h] = [box.w / (view.x1 - view.x0), box.h / (view.y1 - view.y0)];
  return { x: box.x + (column - view.x0) * w, y: box.y + (row - view.y0) * h, w, h };
}

/** Marks of the x axis: [column, words], at round values where the values rise, else at every so many columns. */
function marks(head, view, most) {
  const [first, last] = [Math.ceil(view.x0), Math.min(head.x.length, Math.ceil(view.x1)) - 1];
  const shown = head.x.slice(first, last + 1);
  if (!shown.length) return [];
  if (shown.some((value, i) => value === null || (i && value < shown[i - 1]))) {
    const every = Math.max(1, Math.ceil(shown.length / most));
    return shown.flatMap((value, i) => (i % every || value === null ? [] : [[first + i, said(head, value)]]));
  }
  const step = round((shown.at(-1) - shown[0]) / (most + 1), head.kind);
  const found = [];
  let day = "";
  for (let value = Math.ceil(shown[0] / step) * step, i = 0; value <= shown.at(-1); value += step) {
    while (shown[i] < value) i++;
    if (found.at(-1)?.[0] === first + i) continue;
    const today = head.kind === "time" ? new Date(value).toISOString().slice(5, 10) : "";
    found.push([first + i, today !== day && step < 86_400_000 ? `${today} ${said(head, value, step)}` : said(head, value, step)]);
    day = today;
  }
  return found.length ? found : [[first, said(head, shown[0])]];
}

/** The smallest round step that is not below `least`. */
function round(least, kind) {
  const unit = kind === "time" ? 1000 : 1;
  if (kind !== "generation" && least < 604800 * unit) return unit * (SECONDS.find((seconds) => seconds * unit >= least) ?? 1);
  const ten = 10 ** Math.floor(Math.log10(Math.max(least, 1)));
  return ten * ([1, 2, 5, 10].find((times) => times * ten >= least) ?? 1);
}

/** An x value in words; `step` is the distance of the marks, none for one cell alone. */
function said(head, value, step = 0) {
  if (value === null || value === undefined) return "unknown";
  if (head.kind === "generation") return value.toLocaleString("en");
  if (head.kind === "elapsed") return span(value);
  const [day, clock] = new Date(value).toISOString().split("T");
  if (!step) return `${day} ${clock.slice(0, 8)}`;
  return step >= 86_400_000 ? day.slice(5) : clock.slice(0, step >= 60_000 ? 5 : 8);
}

function span(seconds) {
  if (seconds < 120) return `${Math.round(seconds)} s`;
  return seconds < 7200 ? `${+(seconds / 60).toFixed(1)} min` : `${+(seconds / 3600).toFixed(1)} h`;
}

/** Say one cell: expert, layer, where it stands on the axis, generation and time, load, share, tokens. */
function tell(map, row, column, x, y) {
  const { head, look, tip } = map;
  const at = row * head.x.length + column;
  const load = head.loads[map.cells[at]];
  map.told = { row, column, x, y };
  const lines = [
    `expert ${head.rows[row]}${head.layer ? ` · layer ${head.layer}` : ""}`,
    head.generations[column] === null ? "" : `generation ${head.generations[column].toLocaleString("en")}`,
    `${said({ kind: "time" }, head.times[column])}${head.kind === "elapsed" ? `, ${said(head, head.x[column])} after the start` : ""}`,
    load === null ? "no value" : `load ÷ fair ${load.toPrecision(3)}`,
    load === null ? "" : `share ${((100 * load) / head.rows.length).toPrecision(3)} %`,
    counted(map, at),
  ];
  tip.textContent = lines.filter(Boolean).join("\n");
  Object.assign(tip.style, { display: "block", background: look.paper, color: look.ink, border: `1px solid ${look.ink}33` });
  tip.style.left = `${Math.max(0, Math.min(x + 12, map.clientWidth - tip.offsetWidth - 4))}px`;
  tip.style.top = `${y + 12 + tip.offsetHeight > head.height + 40 ? y - tip.offsetHeight - 12 : y + 12}px`;
}

/** Tokens of a cell. They are counted exactly and fetched when the first cell is looked at: most visits need none. */
function counted(map, at) {
  const { head } = map;
  if (!head.tokens) return "";
  if (map.tokens === undefined) {
    map.tokens = null;
    fetch(new URL(head.tokens, document.baseURI).href)
      .then(async (answer) => {
        if (map.head !== head) return;
        if (answer.status === 200) map.tokens = new Float64Array(await answer.arrayBuffer());
        else map.tokens = answer.status === 204 ? "tokens not exported" : "tokens could not be read";
        if (map.told && map.tip.style.display !== "none") tell(map, map.told.row, map.told.column, map.told.x, map.told.y);
      })
      .catch(() => (map.tokens = "tokens could not be read"));
  }
  if (map.tokens === null) return "tokens …";
  if (typeof map.tokens === "string") return map.tokens;
  const value = map.tokens[at];
  return Number.isFinite(value) ? `${value.toLocaleString("en")} tokens` : "tokens unknown here";
}

function cell(map, event) {
  const { left, top } = map.canvas.getBoundingClientRect();
  const [x, y] = [event.clientX - left, event.clientY - top];
  const { view, box } = map;
  const column = Math.floor(view.x0 + ((x - box.x) / box.w) * (view.x1 - view.x0));
  const row = Math.floor(view.y0 + ((y - box.y) / box.h) * (view.y1 - view.y0));
  const inside = x >= box.x && y >= box.y && column >= view.x0 - 1 && column < view.x1 && row >= view.y0 - 1 && row < view.y1;
  return { x, y, column: Math.max(0, column), row: Math.max(0, row), inside };
}

function show(map, x0, x1, y0, y1) {
  const limit = { x: map.head.x.length, y: map.head.rows.length };
  const [w, h] = [Math.min(limit.x, Math.max(4, x1 - x0)), Math.min(limit.y, Math.max(2, y1 - y0))];
  const [x, y] = [Math.max(0, Math.min(limit.x - w, x0)), Math.max(0, Math.min(limit.y - h, y0))];
  map.view = { x0: x, x1: x + w, y0: y, y1: y + h };
  map.whole = w >= limit.x && h >= limit.y;
  paint(map);
}

function zoom(map, factor, column, row) {
  const { x0, x1, y0, y1 } = map.view;
  show(map, column - (column - x0) * factor, column + (x1 - column) * factor, row - (row - y0) * factor, row + (y1 - row) * factor);
}

function move(map, columns, rows) {
  const { x0, x1, y0, y1 } = map.view;
  show(map, x0 + columns, x1 + columns, y0 + rows, y1 + rows);
}

function listen(map) {
  map.watched = new ResizeObserver(() => map.head && paint(map));
  map.watched.observe(map);
  map.canvas.addEventListener("pointerdown", (event) => {
    const at = cell(map, event);
    if (!at.inside || event.button) return;
    map.drag = { ...at, view: map.view, moves: event.shiftKey };
    if (event.pointerType === "mouse") map.canvas.setPointerCapture(event.pointerId);
  });
  map.canvas.addEventListener("pointermove", (event) => {
    const at = cell(map, event);
    map.canvas.style.cursor = at.inside ? "crosshair" : "";
    if (map.drag && event.pointerType === "mouse") return dragged(map, at);
    if (at.inside) tell(map, at.row, at.column, at.x, at.y);
    else map.tip.style.display = "none";
  });
  map.canvas.addEventListener("pointerup", (event) => {
    const [from, at] = [map.drag, cell(map, event)];
    map.drag = undefined;
    map.band.style.display = "none";
    if (!from || from.moves) return;
    if (Math.hypot(at.x - from.x, at.y - from.y) < NEAR) return map.pin(from.row);
    if (event.pointerType !== "mouse") return;
    const [w, h] = [Math.abs(at.x - from.x), Math.abs(at.y - from.y)];
    const { x0, x1, y0, y1 } = map.view; // a flat drag zooms along one axis, as in the curves
    show(map, ...(w < 3 * NEAR ? [x0, x1] : [Math.min(from.column, at.column), Math.max(from.column, at.column) + 1]),
      ...(h < 3 * NEAR ? [y0, y1] : [Math.min(from.row, at.row), Math.max(from.row, at.row) + 1]));
  });
  map.canvas.addEventListener("pointerleave", () => map.drag || (map.tip.style.display = "none"));
  map.canvas.addEventListener("pointercancel", () => (map.drag = undefined));
  map.canvas.addEventListener("dblclick", () => (reset(map), paint(map)));
  map.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.shiftKey) return; // the wheel alone scrolls the page
    const at = cell(map, event);
    if (!at.inside) return;
    event.preventDefault();
    zoom(map, event.deltaY > 0 || event.deltaX > 0 ? 1.25 : 0.8, at.column, at.row);
  }, { passive: false });
  map.addEventListener("keydown", (event) => event.target === map && pressed(map, event));
  map.addEventListener("blur", () => (map.tip.style.display = "none"));
}

function dragged(map, at) {
  const from = map.drag;
  if (from.moves) {
    const { x0, x1, y0, y1 } = from.view;
    const [columns, rows] = [((from.x - at.x) / map.box.w) * (x1 - x0), ((from.y - at.y) / map.box.h) * (y1 - y0)];
    return show(map, x0 + columns, x1 + columns, y0 + rows, y1 + rows);
  }
  map.tip.style.display = "none";
  const px = (value) => `${value}px`;
  Object.assign(map.band.style, { display: "block", left: px(Math.min(from.x, at.x)), top: px(Math.min(from.y, at.y)), width: px(Math.abs(at.x - from.x)), height: px(Math.abs(at.y - from.y)) });
}

function pressed(map, event) {
  const { view, head } = map;
  map.cursor ??= { column: Math.floor((view.x0 + view.x1) / 2), row: Math.floor((view.y0 + view.y1) / 2) };
  const cursor = map.cursor;
  const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  if (steps && event.shiftKey) move(map, (steps[0] * (view.x1 - view.x0)) / 5, (steps[1] * (view.y1 - view.y0)) / 5);
  else if (steps) {
    cursor.column = Math.max(0, Math.min(head.x.length - 1, cursor.column + steps[0]));
    cursor.row = Math.max(0, Math.min(head.rows.length - 1, cursor.row + steps[1]));
    const outside = (at, low, high) => (at < low ? at - low : at + 1 > high ? at + 1 - high : 0);
    const [columns, rows] = [outside(cursor.column, view.x0, view.x1), outside(cursor.row, view.y0, view.y1)];
    if (columns || rows) move(map, columns, rows); // the view follows the cursor
  } else if (event.key === "+" || event.key === "-") zoom(map, event.key === "+" ? 0.8 : 1.25, cursor.column, cursor.row);
  else if (event.key === "Home") reset(map);
  else if (event.key === "Enter") map.pin(cursor.row);
  else if (event.key === "Escape") return void (map.tip.style.display = "none");
  else return;
  event.preventDefault();
  paint(map);
  const { x, y } = cellBox(map, cursor);
  tell(map, cursor.row, cursor.column, x, y);
}
