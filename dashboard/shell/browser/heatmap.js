// A large heatmap on a canvas: one byte a cell and a table of 256 colours, painted with one putImageData. Zoom and the
// cell under the keyboard cursor survive a refresh. Knows nothing of experts but their names.

const LEFT = 90, RIGHT = 84, TOP = 6, BOTTOM = 42; // px around the cells
const TICK = 90; // px between two marks of the x axis

/** Draw what was sent: 4 bytes length of the head (little endian), the head as JSON, then rows × columns bytes. */
export function draw(component) {
  const { data, parentElement, setTriggerValue } = component;
  const length = new DataView(data.buffer, data.byteOffset).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(data.subarray(4, 4 + length)));
  const map = place(parentElement, head);
  map.pin = (row) => setTriggerValue("pinned", head.rows[row]);
  map.head = head;
  map.cells = data.subarray(4 + length);
  map.look = theme(parentElement);
  const mark = [head.digest, map.look.ink, map.look.paper].join();
  if (map.drawn === mark) return;
  map.drawn = mark;
  map.image = painted(head, map.cells);
  if (!map.view || map.rows !== head.rows.length || map.revision !== head.revision) reset(map);
  else if (map.whole) reset(map); // what was not zoomed shows the new columns too
  map.rows = head.rows.length;
  map.revision = head.revision;
  paint(map);
}

export function leave({ parentElement }) {
  setTimeout(() => {
    const map = parentElement.querySelector(".moe-heatmap");
    if (map && !map.isConnected) map.watched?.disconnect();
  });
}

function place(parent, head) {
  let map = parent.querySelector(".moe-heatmap");
  if (!map) {
    map = document.createElement("div");
    map.className = "moe-heatmap";
    map.tabIndex = 0;
    Object.assign(map.style, { position: "relative", width: "100%" });
    map.canvas = document.createElement("canvas");
    map.tip = document.createElement("div");
    map.tip.setAttribute("aria-live", "polite");
    Object.assign(map.tip.style, { position: "absolute", pointerEvents: "none", padding: "4px 8px", borderRadius: "4px", fontSize: "12px", whiteSpace: "pre", display: "none", zIndex: 2 });
    map.append(map.canvas, map.tip);
    parent.append(map);
    listen(map);
  }
  map.style.height = `${head.height}px`;
  map.setAttribute("role", "application");
  map.setAttribute("aria-roledescription", "heatmap");
  map.setAttribute("aria-label", `${head.alt} Arrow keys move the cursor, plus and minus zoom, Home shows everything, Enter pins an expert.`);
  return map;
}

function theme(parent) {
  const style = getComputedStyle(parent.host ?? parent);
  const of = (name, otherwise) => style.getPropertyValue(name).trim() || otherwise;
  return { ink: of("--st-text-color", "#1c2733"), paper: of("--st-background-color", "#ffffff"), font: of("--st-font", "sans-serif") };
}

function painted(head, cells) {
  const [rows, columns] = [head.rows.length, head.x.length];
  const canvas = new OffscreenCanvas(Math.max(1, columns), Math.max(1, rows));
  const context = canvas.getContext("2d");
  const image = context.createImageData(canvas.width, canvas.height);
  const table = new Uint32Array(head.palette.map((hex) => (255 << 24) | (parseInt(hex.slice(4), 16) << 16) | (parseInt(hex.slice(2, 4), 16) << 8) | parseInt(hex.slice(0, 2), 16)));
  const pixels = new Uint32Array(image.data.buffer);
  for (let i = 0; i < pixels.length; i++) pixels[i] = table[cells[i]];
  context.putImageData(image, 0, 0);
  return canvas;
}

function reset(map) {
  map.view = { x0: 0, x1: map.head.x.length, y0: 0, y1: map.head.rows.length };
  map.whole = true;
}

function paint(map) {
  const { canvas, head, view, look } = map;
  const [width, height, scale] = [map.clientWidth, head.height, window.devicePixelRatio || 1];
  if (!width) return;
  [canvas.width, canvas.height] = [width * scale, height * scale];
  Object.assign(canvas.style, { width: `${width}px`, height: `${height}px`, display: "block" });
  const c = canvas.getContext("2d");
  c.scale(scale, scale);
  c.font = `11px ${look.font}`;
  c.fillStyle = look.ink;
  c.textBaseline = "middle";
  const [w, h] = [width - LEFT - RIGHT, height - TOP - BOTTOM];
  map.box = { w, h };
  c.imageSmoothingEnabled = false;
  c.drawImage(map.image, view.x0, view.y0, view.x1 - view.x0, view.y1 - view.y0, LEFT, TOP, w, h);
  c.textAlign = "right";
  const every = Math.max(1, Math.ceil((view.y1 - view.y0) / (h / 14)));
  for (let row = Math.ceil(view.y0 / every) * every; row < view.y1; row += every) {
    c.fillText(head.rows[row], LEFT - 6, TOP + ((row + 0.5 - view.y0) / (view.y1 - view.y0)) * h, LEFT - 8);
  }
  c.textAlign = "center";
  const step = Math.max(1, Math.ceil((view.x1 - view.x0) / Math.max(1, Math.floor(w / TICK))));
  for (let column = Math.ceil(view.x0 / step) * step; column < view.x1; column += step) {
    c.fillText(said(head, column), LEFT + ((column + 0.5 - view.x0) / (view.x1 - view.x0)) * w, height - BOTTOM + 12);
  }
  c.fillText(head.title, LEFT + w / 2, height - 10);
  colourBar(c, head, LEFT + w + 14, h, look.ink);
  if (map.cursor) outline(c, map);
}

function colourBar(c, head, x, h, ink) {
  for (let i = 0; i < h; i++) {
    c.fillStyle = `#${head.palette[1 + Math.round((1 - i / h) * (head.saturated - 1))]}`;
    c.fillRect(x, TOP + i, 12, 1.5);
  }
  c.fillStyle = ink;
  c.textAlign = "left";
  for (const [load, words] of head.ticks) c.fillText(words, x + 16, TOP + 5 + (h - 10) * (1 - load / head.ticks.at(-1)[0]));
}

function outline(c, map) {
  const { view, box, cursor } = map;
  c.strokeStyle = map.look.ink;
  c.lineWidth = 2;
  const [cw, ch] = [box.w / (view.x1 - view.x0), box.h / (view.y1 - view.y0)];
  c.strokeRect(LEFT + (cursor.column - view.x0) * cw, TOP + (cursor.row - view.y0) * ch, Math.max(3, cw), Math.max(3, ch));
}

function said(head, column) {
  const value = head.x[column];
  if (value === null || value === undefined) return "";
  if (head.kind === "time") return new Date(value).toISOString().slice(11, 19);
  return head.kind === "elapsed" ? `${Math.round(value)} s` : String(Math.round(value));
}

function tell(map, row, column, x, y) {
  const { head } = map;
  const load = head.loads[map.cells[row * head.x.length + column]];
  const share = load === null ? "" : `\nshare ${((100 * load) / head.of).toPrecision(3)} %`;
  map.tip.textContent = `${head.rows[row]}\n${head.title.toLowerCase()} ${said(head, column)}\n${load === null ? "no value" : `load ÷ fair ${load.toPrecision(3)}`}${share}`;
  Object.assign(map.tip.style, { display: "block", left: `${Math.min(x + 12, map.clientWidth - 150)}px`, top: `${y + 12}px`, background: map.look.paper, color: map.look.ink, border: `1px solid ${map.look.ink}33` });
}

function cell(map, event) {
  const { left, top } = map.canvas.getBoundingClientRect();
  const [x, y] = [event.clientX - left, event.clientY - top];
  const { view, box } = map;
  const column = Math.floor(view.x0 + ((x - LEFT) / box.w) * (view.x1 - view.x0));
  const row = Math.floor(view.y0 + ((y - TOP) / box.h) * (view.y1 - view.y0));
  const inside = x >= LEFT && y >= TOP && column >= view.x0 && column < view.x1 && row >= view.y0 && row < view.y1;
  return { x, y, column, row, inside };
}

function zoom(map, factor, column, row) {
  const limit = { x: map.head.x.length, y: map.head.rows.length };
  for (const [low, high, most, at] of [["x0", "x1", limit.x, column], ["y0", "y1", limit.y, row]]) {
    const size = Math.min(most, Math.max(4, (map.view[high] - map.view[low]) * factor));
    const share = (at - map.view[low]) / (map.view[high] - map.view[low]);
    map.view[low] = Math.max(0, Math.min(most - size, at - share * size));
    map.view[high] = map.view[low] + size;
  }
  map.whole = map.view.x1 - map.view.x0 >= limit.x && map.view.y1 - map.view.y0 >= limit.y;
  paint(map);
}

function listen(map) {
  map.watched = new ResizeObserver(() => map.head && paint(map));
  map.watched.observe(map);
  map.addEventListener("mousemove", (event) => {
    const at = cell(map, event);
    map.canvas.style.cursor = at.inside ? "crosshair" : "";
    if (at.inside) tell(map, at.row, at.column, at.x, at.y);
    else map.tip.style.display = "none";
  });
  map.addEventListener("mouseleave", () => (map.tip.style.display = "none"));
  map.addEventListener("click", (event) => {
    const at = cell(map, event);
    if (at.inside) map.pin(at.row);
  });
  map.addEventListener("dblclick", () => (reset(map), paint(map)));
  map.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.shiftKey) return; // the wheel alone scrolls the page
    const at = cell(map, event);
    if (!at.inside) return;
    event.preventDefault();
    zoom(map, event.deltaY > 0 || event.deltaX > 0 ? 1.25 : 0.8, at.column, at.row);
  }, { passive: false });
  map.addEventListener("keydown", (event) => {
    const { view, head } = map;
    map.cursor ??= { column: Math.floor((view.x0 + view.x1) / 2), row: Math.floor((view.y0 + view.y1) / 2) };
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (moves[event.key]) {
      map.cursor.column = Math.max(0, Math.min(head.x.length - 1, map.cursor.column + moves[event.key][0]));
      map.cursor.row = Math.max(0, Math.min(head.rows.length - 1, map.cursor.row + moves[event.key][1]));
    } else if (event.key === "+" || event.key === "-") zoom(map, event.key === "+" ? 0.8 : 1.25, map.cursor.column, map.cursor.row);
    else if (event.key === "Home") reset(map);
    else if (event.key === "Enter") map.pin(map.cursor.row);
    else return;
    event.preventDefault();
    paint(map);
    const [cw, ch] = [map.box.w / (view.x1 - view.x0), map.box.h / (view.y1 - view.y0)];
    tell(map, map.cursor.row, map.cursor.column, LEFT + (map.cursor.column - view.x0) * cw, TOP + (map.cursor.row - view.y0) * ch);
  });
}
