// Sent with every drawing, so it is short: the rest is fetched once and kept by the browser.
const drawing = import(new URL("assets/NAME?v=VERSION", document.baseURI).href);
export default function (component) {
  drawing.then((module) => module.draw(component));
  return () => drawing.then((module) => module.leave(component));
}
