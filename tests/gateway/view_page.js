// Runs gateway/view.js without a browser: argv names the script, a list of events is read; what it says is printed.
"use strict";
const fs = require("node:fs"), vm = require("node:vm");

function element() {
  const listeners = {};
  return {
    hidden: false, value: "", classList: { add() {} }, focus() {}, getContext: () => ({}),
    addEventListener(kind, heard) { listeners[kind] = heard; },
    fire(kind, event) { (this[`on${kind}`] ?? listeners[kind])(event); },
  };
}

const elements = {}, said = [];
let socket;
class WebSocket {
  static OPEN = 1;
  readyState = 1;
  constructor() { socket = this; }
  send(text) { said.push(JSON.parse(text)); }
}
const document = { ...element(), getElementById: (id) => (elements[id] ??= element()) };
const [script] = process.argv.slice(2), events = fs.readFileSync(0, "utf8");
vm.runInNewContext(fs.readFileSync(script, "utf8"), {
  document, WebSocket, HTMLInputElement: class {}, location: { href: "http://127.0.0.1:1/view/h/secret" },
  setTimeout, clearTimeout,
});
const notes = [], held = new Set();
for (const { on, kind, value, keys = [], ...facts } of JSON.parse(events)) {
  if (on === "socket") {
    socket[`on${kind}`](facts);
    continue;
  }
  let prevented = false;
  const event = {
    preventDefault() { prevented = true; }, getModifierState: (name) => keys.includes(name),
    clipboardData: { getData: () => value }, ...facts,
  };
  if (on === "document") document.fire(kind, event);
  else {
    if (value !== undefined) elements[on].value = value;
    elements[on].fire(kind, event);
  }
  held.add(prevented);
}
const told = { said, prevented: [...held], note: elements.note?.textContent, keys: elements.keys.value };
process.stdout.write(JSON.stringify(told), () => process.exit(0));
