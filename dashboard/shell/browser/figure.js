// One plotly figure in a div that stays: zoom, hidden lines and keyboard focus survive every refresh, and a figure
// that did not change is not drawn again. Knows nothing of what it draws. Loaded once by the page from /assets/.

const NARROW = 560; // px: below this a legend has no room beside its title
const STEP = 0.2; // share of the visible range that one key press pans or zooms

const VERSION = new URL(import.meta.url).search; // "?v=…", the same for every file of this server

let library;
function plotly() {
  library ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = new URL("plotly.min.js" + VERSION, import.meta.url).href;
    script.onload = () => resolve(window.Plotly);
    script.onerror = () => reject(new Error("plotly.min.js did not load"));
    document.head.append(script);
  });
  return library;
}

/** Draw what was sent: JSON bytes {digest, name, alt, figure: {data, layout}}. */
export async function draw({ data, parentElement }) {
  const sent = JSON.parse(new TextDecoder().decode(data));
  const div = place(parentElement, sent);
  div.wanted = sent;
  const Plotly = await plotly();
  if (div.wanted !== sent || !div.isConnected) return; // a newer one arrived while the library was loading
  const look = theme(parentElement);
  const mark = [sent.digest, look.ink, look.paper].join();
  if (div.drawn === mark) return;
  const before = div.layout ? snapshot(div) : null;
  const layout = dressed(sent.figure.layout, look, div.clientWidth);
  if (before) keepZoom(before, sent.figure, layout);
  await Plotly.react(div, sent.figure.data, layout, config(sent.name));
  div.drawn = mark;
  if (!div.watched) watch(div, Plotly);
}

/** Give the browser its memory back when the figure has left the page. */
export function leave({ parentElement }) {
  setTimeout(() => {
    const div = parentElement.querySelector(".moe-figure");
    if (div && !div.isConnected && window.Plotly) {
      div.watched?.disconnect();
      window.Plotly.purge(div);
    }
  });
}

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

function theme(parent) {
  const style = getComputedStyle(parent.host ?? parent);
  const of = (name, otherwise) => style.getPropertyValue(name).trim() || otherwise;
  return {
    ink: of("--st-text-color", "#1c2733"),
    paper: of("--st-background-color", "#ffffff"),
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
    if (/^legend\d*$/.test(name) && width < NARROW) Object.assign(part, { font: { size: 10 }, bgcolor: "rgba(0,0,0,0)" });
  }
  return dressed;
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

/** What the viewer did to the figure that is on screen. */
function snapshot(div) {
  const axis = div._fullLayout?.xaxis;
  return {
    axis: div.layout.meta?.axis,
    zoomed: axis && !axis.autorange ? axis.range.map(axis.r2l ?? Number) : null,
    across: across(div.data),
  };
}

/** The same points on another axis: the viewer keeps the part that was zoomed in on. */
function keepZoom(before, figure, layout) {
  if (!before.zoomed || before.axis === layout.meta?.axis) return;
  const there = across(figure.data);
  if (there.length !== before.across.length) return;
  const inside = [...before.across.keys()].filter(
    (i) => before.across[i] >= before.zoomed[0] && before.across[i] <= before.zoomed[1] && Number.isFinite(there[i]),
  );
  if (inside.length > 1) {
    layout.xaxis.range = [there[inside[0]], there[inside.at(-1)]];
    layout.xaxis.autorange = false;
  }
}

function across(traces) {
  const longest = traces.map((trace) => decoded(trace.x)).sort((a, b) => b.length - a.length)[0];
  return longest ?? [];
}

function decoded(values) {
  if (!values?.bdata) return values?._inputArray ?? values ?? [];
  const bytes = Uint8Array.from(atob(values.bdata), (letter) => letter.charCodeAt(0));
  const kinds = { f8: Float64Array, f4: Float32Array, i4: Int32Array, i2: Int16Array, u1: Uint8Array };
  return kinds[values.dtype] ? new kinds[values.dtype](bytes.buffer) : [];
}

function watch(div, Plotly) {
  div.watched = new ResizeObserver(() => div.isConnected && div.clientWidth && Plotly.Plots.resize(div));
  div.watched.observe(div);
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
