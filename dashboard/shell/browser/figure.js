// One plotly figure in a div that stays: zoom, hidden lines and keyboard focus survive every refresh, and a figure
// that did not change is not drawn again. Knows nothing of what it draws. Loaded once by the page from /assets/.

const NARROW = 560; // px: below this a legend has no room beside its title
const DOT = 12; // px: this near to a dot a click means it
const STEP = 0.2; // share of the visible range that one key press pans or zooms
const SETTLED = 400; // ms without a further move before a zoom is told to the server, for the address
const LETTER = 7, LABEL = 52; // px: the widest digit of a tick label, and the room that labels get unless they need more
const LINE = 18; // px: one line of labels or of a title under the plot

const VERSION = new URL(import.meta.url).search; // "?v=…", the same for every file of this server
const DIGEST = 16; // letters, as dashboard/shell/figure.py writes them
const text = new TextDecoder();

let library;
/** The library, which the page began to fetch before it knew that there would be a figure (shell/assets.py). */
function plotly() {
  library ??= new Promise((resolve, reject) => {
    if (window.Plotly) return resolve(window.Plotly);
    const script = document.querySelector("script[src*='assets/plotly.min.js']") ?? document.createElement("script");
    script.addEventListener("load", () => resolve(window.Plotly));
    script.addEventListener("error", () => reject(new Error("plotly.min.js did not load")));
    if (script.isConnected) return;
    script.src = new URL("plotly.min.js" + VERSION, import.meta.url).href;
    document.head.append(script);
  });
  return library;
}

/** Draw what was sent: 16 letters of digest, then JSON {name, alt, zoom, figure: {data, layout}}. */
export function draw({ data, parentElement, setStateValue }) {
  const look = theme(parentElement);
  const mark = [text.decode(data.subarray(0, DIGEST)), look.ink, look.paper].join();
  if (parentElement.querySelector(".moe-figure")?.drawn === mark) return;
  const sent = JSON.parse(text.decode(data.subarray(DIGEST)));
  const div = place(parentElement, sent);
  div.wanted = sent;
  div.tell = setStateValue;
  inSight(div, () => paint(div, sent, mark, look));
}

async function paint(div, sent, mark, look) {
  const Plotly = await plotly();
  if (div.wanted !== sent || !div.isConnected) return; // a newer one arrived while the library was loading
  for (const trace of sent.figure.data) if (trace.x?.same !== undefined) trace.x = sent.figure.data[trace.x.same].x;
  if (sent.figure.layout.xaxis?.type === "date") wallClock(sent.figure);
  const before = div.layout ? snapshot(div) : null;
  const layout = dressed(sent.figure.layout, look, div.clientWidth);
  roomy(layout, sent.figure.data, div.labels ?? LABEL);
  keepZoom(div, before, layout, sent.zoom);
  div.config ??= config(sent.name); // another object would make plotly begin anew and forget the zoom
  await Plotly.react(div, sent.figure.data, layout, div.config);
  const wanted = labelWidth(div);
  if (wanted > (div.labels ?? LABEL)) {
    div.labels = wanted;
    roomy(layout, sent.figure.data, wanted);
    await Plotly.react(div, sent.figure.data, layout, div.config);
  }
  div.drawn = mark;
  if (!div.watched) watch(div, Plotly);
}

/** Give the browser its memory back when the figure has left the page. */
export function leave({ parentElement }) {
  setTimeout(() => {
    const div = parentElement.querySelector(".moe-figure");
    if (div && !div.isConnected && window.Plotly) {
      div.watched?.disconnect();
      sight?.unobserve(div);
      window.Plotly.purge(div);
    }
  });
}

let sight;
/** Do it when the figure is on screen or half a screen away, now if it is: what nobody sees is not drawn. The newest deed counts. */
function inSight(div, deed) {
  div.late = undefined;
  if (div.sighted) return void deed();
  div.late = deed;
  if (div.sighted !== undefined) return;
  div.sighted = false;
  if (sight?.root && !sight.root.isConnected) sight = undefined;
  sight ??= new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries) {
        target.sighted = isIntersecting;
        if (isIntersecting) overdue(target);
      }
    },
    { root: document.querySelector("[data-testid=stMain]"), rootMargin: "50% 0px" },
  );
  sight.observe(div);
}

function overdue(div) {
  const deed = div.late;
  div.late = undefined;
  deed?.();
}

addEventListener("beforeprint", () => document.querySelectorAll(".moe-figure").forEach(overdue));

function place(parent, sent) {
  let div = parent.querySelector(".moe-figure");
  if (!div) {
    div = document.createElement("div");
    div.className = "moe-figure";
    div.tabIndex = 0;
    div.style.width = "100%";
    parent.append(div);
  }
  div.style.height = `${sent.figure.layout.height}px`;
  div.setAttribute("role", "figure");
  div.setAttribute("aria-label", sent.alt);
  return div;
}

/** Milliseconds of the viewer's wall clock become dates without a zone; plotly would shift numbers by the browser's zone. */
function wallClock({ data, layout }) {
  const known = new Map();
  for (const trace of data) {
    if (!known.has(trace.x)) known.set(trace.x, Array.from(decoded(trace.x), date));
    trace.x = known.get(trace.x);
  }
  if (layout.xaxis.range) layout.xaxis.range = layout.xaxis.range.map(date);
  for (const shape of layout.shapes ?? []) if (shape.xref === "x") [shape.x0, shape.x1] = [date(shape.x0), date(shape.x1)];
  for (const note of layout.annotations ?? []) if (note.xref === "x") note.x = date(note.x);
}

function date(milliseconds) {
  return Number.isFinite(milliseconds) ? new Date(milliseconds).toISOString().slice(0, -1) : null;
}

/** The numbers of a typed array as plotly's Python side writes it, or the list itself. */
function decoded(values) {
  if (!values?.bdata) return values ?? [];
  const bytes = Uint8Array.from(atob(values.bdata), (letter) => letter.charCodeAt(0));
  const kinds = { f8: Float64Array, f4: Float32Array, i4: Int32Array, u1: Uint8Array };
  return new kinds[values.dtype](bytes.buffer);
}

function theme(parent) {
  const style = getComputedStyle(parent.host ?? parent);
  const of = (name, otherwise) => style.getPropertyValue(name).trim() || otherwise;
  return {
    ink: of("--st-text-color", "#1c2733"),
    paper: of("--st-background-color", "#ffffff"),
    veil: of("--st-background-color", "#ffffff").replace(/^#(..)(..)(..)$/, (_, ...parts) => `rgba(${parts.slice(0, 3).map((part) => parseInt(part, 16))},0.75)`),
    faint: of("--st-border-color", "rgba(128,128,128,0.25)"),
    font: of("--st-font", "sans-serif"),
  };
}

function dressed(layout, look, width) {
  const dressed = structuredClone(layout);
  dressed.autosize = true;
  dressed.font = { family: look.font, size: 12, color: look.ink, ...dressed.font };
  dressed.paper_bgcolor = look.paper;
  dressed.plot_bgcolor ??= look.paper;
  dressed.hoverlabel = { bgcolor: look.paper, bordercolor: look.faint, font: { color: look.ink }, ...dressed.hoverlabel };
  for (const [name, part] of Object.entries(dressed)) {
    if (/^[xy]axis\d*$/.test(name)) Object.assign(part, { gridcolor: look.faint, linecolor: look.faint, tickcolor: look.faint });
    if (layout.meta?.knots !== undefined && /^legend\d*$/.test(name) && width < NARROW) {
      const [low] = layout[name.replace("legend", "yaxis")].domain; // into the row, at its foot
      Object.assign(part, { font: { size: 10 }, x: 0.01, xanchor: "left", y: low, yanchor: "bottom", bgcolor: look.veil });
    }
  }
  return dressed;
}

/** Room for the axes as margins: plotly's own automargin draws every figure twice to find it, and measures each label. */
function roomy(layout, data, labels) {
  const margin = (layout.margin = { ...layout.margin });
  const numeric = layout.xaxis?.type === "date" || data[0]?.x?.bdata !== undefined;
  for (const [name, part] of Object.entries(layout)) {
    const axis = /^([xy])axis\d*$/.exec(name)?.[1];
    if (!axis || (axis === "x" && !numeric)) continue; // the names of categories may be long, turned and broken
    Object.assign(part, { automargin: false, ticklabeloverflow: "allow" });
    const title = part.title?.text ? LINE + 2 : 0;
    if (axis === "y") margin.l = Math.max(margin.l ?? 0, labels + title);
    else margin.b = Math.max(margin.b ?? 0, title + LINE * (part.type === "date" ? 2 : 1) + 4);
  }
}

/** How much the longest label beside the plot wants; counted in letters, because measuring makes the browser lay out the page. */
function labelWidth(div) {
  const lengths = Array.from(div.querySelectorAll(".ytick > text"), (label) => label.textContent.length);
  return 8 + LETTER * Math.max(0, ...lengths);
}

function config(name) {
  const image = (format) => ({
    name: `Download ${format.toUpperCase()}`,
    icon: window.Plotly.Icons.camera,
    click: (div) => window.Plotly.downloadImage(div, { format, filename: name, scale: format === "png" ? 2 : 1 }),
  });
  return {
    displaylogo: false,
    scrollZoom: false, // the wheel scrolls the page
    modeBarButtonsToRemove: ["toImage", "lasso2d", "select2d", "autoScale2d"],
    modeBarButtonsToAdd: [image("png"), image("svg")],
  };
}

/** What the viewer zoomed in on, and how its axis lies in time. */
function snapshot(div) {
  const axis = div._fullLayout?.xaxis;
  return { meta: div.layout.meta, of: div.layout.uirevision, zoomed: axis && !axis.autorange ? axis.range.map((end) => axis.r2l(end)) : null };
}

/** The stretch of time that was zoomed in on: by the address, in milliseconds, or by the viewer before the axis changed. */
function keepZoom(div, before, layout, asked) {
  const [there, here] = [before?.meta?.knots, layout.meta?.knots];
  if (before && before.of !== layout.uirevision) div.carried = undefined; // another run
  if (!before && asked && here) {
    div.carried = asked.map((moment) => between(moment / 1000, here.time, here.x));
  } else if (there && here && before.meta.axis !== layout.meta.axis) {
    div.carried = before.zoomed?.map((end) => between(between(end, there.x, there.time), here.time, here.x));
  }
  const range = layout.xaxis.type === "date" ? div.carried?.map(date) : div.carried;
  if (range) Object.assign(layout.xaxis, { range, autorange: false });
}

/** Say which stretch of time is zoomed in on, null for all of it, once the viewer has let go; where the server wants it. */
function tellZoom(div) {
  if (div.wanted.zoom === undefined) return;
  clearTimeout(div.telling);
  div.telling = setTimeout(() => {
    const { meta, zoomed } = snapshot(div);
    if (meta?.knots) div.tell("zoom", zoomed?.map((end) => Math.round(1000 * between(end, meta.knots.x, meta.knots.time))) ?? null);
  }, SETTLED);
}

/** The value of `to` where `from`, which rises, has `value`; on a straight line between the two neighbours. */
function between(value, from, to) {
  const found = from.findIndex((other) => other >= value);
  const i = Math.max(1, found < 0 ? from.length - 1 : found);
  const share = (value - from[i - 1]) / (from[i] - from[i - 1] || 1);
  return to[i - 1] + share * (to[i] - to[i - 1]);
}

function watch(div, Plotly) {
  div.watched = new ResizeObserver(() => div.isConnected && div.clientWidth && Plotly.Plots.resize(div));
  div.watched.observe(div);
  div.on("plotly_relayout", (change) => {
    if (change["xaxis.autorange"]) div.carried = undefined;
    if (Object.keys(change).some((name) => name.startsWith("xaxis."))) tellZoom(div);
  });
  div.on("plotly_click", ({ points, event }) => {
    const box = div.getBoundingClientRect();
    const hit = points.find((point) => point.data.meta === "trace" && near(point, event.clientX - box.left, event.clientY - box.top));
    if (hit) window.open(new URL(`traces?trace=${encodeURIComponent(hit.customdata)}`, location.href), "_blank", "noopener");
  });
  div.addEventListener("keydown", (event) => {
    const axis = div._fullLayout.xaxis;
    const [from, to] = axis.range.map((end) => axis.r2l(end));
    const step = (to - from) * STEP;
    const ranges = {
      ArrowLeft: [from - step, to - step],
      ArrowRight: [from + step, to + step],
      "+": [from + step, to - step],
      "-": [from - step, to + step],
    };
    if (event.key === "Home") Plotly.relayout(div, { "xaxis.autorange": true, "yaxis.autorange": true });
    else if (ranges[event.key]) Plotly.relayout(div, { "xaxis.range": ranges[event.key].map((end) => axis.l2r(end)) });
    else return;
    event.preventDefault();
  });
}

/** Whether a click is on a point: with one hover label for all lines plotly names the point next to it in time as well. */
function near({ x, y, xaxis, yaxis }, left, top) {
  const across = xaxis._offset + xaxis.d2p(x) - left;
  const down = yaxis._offset + yaxis.d2p(y) - top;
  return Math.hypot(across, down) <= DOT;
}
