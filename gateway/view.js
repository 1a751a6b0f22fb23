// Shows a session's page as it changes; with an address for control, passes on what a person does to it.
"use strict";

const part = (id) => document.getElementById(id);
// The keys have a field of their own: there the keyboard's layout puts together what takes several of them.
const screen_ = part("screen"), keys = part("keys"), pen = screen_.getContext("2d");
const ENDINGS = {
  SESSION_ENDED: "The session has ended.",
  TOKEN_SUPERSEDED: "The session has ended: its hold is over.",
  LEASE_EXPIRED: "The session has ended: its worker's lease is over.",
  HOLD_REVOKED: "The session has ended: its hold was revoked.",
  PROFILE_QUARANTINED: "The session has ended: its hold became an incident.",
  BROWSER_CRASHED: "The browser has ended by itself.",
  STORE_UNAVAILABLE: "The session cannot be proven at the moment. Reload the page to try again.",
  HOST_STOPPING: "The host is stopping.",
  GATEWAY_STOPPING: "Tenure is stopping.",
  HOST_UNREACHABLE: "The host does not answer.",
  READ_ONLY: "This address is for looking only.",
  NOT_UNDERSTOOD: "What this page said was not understood. Reload it to go on.",
};
// By what browsers call them; all else that is one character is typed as text.
const KEYS = {
  Enter: "Return", Tab: "Tab", Backspace: "BackSpace", Delete: "Delete", Home: "Home", End: "End",
  ArrowLeft: "Left", ArrowUp: "Up", ArrowRight: "Right", ArrowDown: "Down", Insert: "Insert",
  Escape: "Escape", PageUp: "Page_Up", PageDown: "Page_Down",
};
const CONTROLLED = "abcivxyz";
const LONGEST = 10000; // characters that are typed at once
const DRAG_PX = 6, MOVE_MS = 60, WHEEL_PX = 100, WHEEL_MS = 80;

let page = { width: 1280, height: 800, url: "", dialog: "" };
let finished = false, drives = false, pressed = null, noted = 0, movedAt = 0, turned = { right: 0, down: 0 }, turning = 0;

const socket = new WebSocket(location.href.replace(/^http/, "ws").replace(/[?#].*$/, "") + "/socket");
socket.binaryType = "blob";
const say = (word) => { if (drives && socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(word)); };

socket.onopen = () => state("live", "live");
socket.onmessage = async ({ data }) => {
  if (typeof data === "string") return hear(JSON.parse(data));
  const picture = await createImageBitmap(data);
  if (screen_.width !== picture.width || screen_.height !== picture.height) {
    screen_.width = picture.width;
    screen_.height = picture.height;
  }
  pen.drawImage(picture, 0, 0);
  picture.close();
};
socket.onclose = ({ reason, wasClean }) => {
  if (finished) return; // and said so: the session ends with it
  state("over", "ended");
  part("done").hidden = part("dialog").hidden = true;
  note(ENDINGS[reason] ?? (wasClean ? "The view has ended." : "There is no such session, or it has ended."), true);
};

function hear(word) {
  if (word.type === "page") {
    page = word;
    part("url").textContent = document.title = word.url;
    part("dialog").hidden = !word.dialog || !drives;
    part("answer").hidden = word.dialog !== "prompt";
    part("dismiss").hidden = word.dialog === "alert";
    part("asks").textContent = { beforeunload: "Leave this page?" }[word.dialog] ?? word.message ?? "";
    if (word.dialog && !drives) note("The page shows a dialog.");
  } else if (word.type === "control") {
    drives = true;
    state("live", "you drive");
    screen_.classList.add("drive");
    part("done").hidden = false;
    keys.focus();
  } else if (word.type === "refused") {
    note(word.problem);
  } else if (word.type === "done") {
    drives = false;
    finished = true;
    state("over", "done");
    part("done").hidden = true;
    note("Done. You can close this window.", true);
  }
}

function state(kind, text) {
  part("state").className = kind;
  part("state").textContent = text;
}

function note(text, stays = false) {
  part("note").textContent = text;
  part("note").hidden = false;
  clearTimeout(noted);
  if (!stays) noted = setTimeout(() => { part("note").hidden = true; }, 4000);
}

// --- what a person does ---------------------------------------------------------------------

function at({ clientX, clientY }) {
  const box = screen_.getBoundingClientRect();
  const clamp = (value, most) => Math.max(0, Math.min(Math.floor(value), most - 1));
  return {
    x: clamp((clientX - box.left) / box.width * page.width, page.width),
    y: clamp((clientY - box.top) / box.height * page.height, page.height),
  };
}

screen_.onfocus = () => keys.focus();
screen_.onpointerdown = (event) => {
  keys.focus();
  pressed = { ...at(event), button: event.button };
  screen_.setPointerCapture(event.pointerId);
  event.preventDefault();
};
screen_.onpointerup = (event) => {
  if (!pressed) return;
  const from = pressed, to = at(event);
  pressed = null;
  if (from.button === 0 && Math.hypot(to.x - from.x, to.y - from.y) > DRAG_PX) {
    say({ type: "drag", x: from.x, y: from.y, to_x: to.x, to_y: to.y });
  } else if (from.button <= 2) {
    say({ type: "click", ...from });
  }
};
screen_.onpointermove = (event) => {
  if (pressed || event.timeStamp - movedAt < MOVE_MS) return;
  movedAt = event.timeStamp;
  say({ type: "move", ...at(event) });
};
screen_.oncontextmenu = (event) => event.preventDefault();
screen_.addEventListener("wheel", (event) => {
  event.preventDefault();
  turned.right += event.deltaX;
  turned.down += event.deltaY;
  if (turning) return;
  const where = at(event);
  turning = setTimeout(() => {
    const clicks = (pixels) => Math.max(-20, Math.min(20, Math.round(pixels / WHEEL_PX) || Math.sign(pixels)));
    say({ type: "wheel", ...where, right: clicks(turned.right), down: clicks(turned.down) });
    turned = { right: 0, down: 0 };
    turning = 0;
  }, WHEEL_MS);
}, { passive: false });
keys.onkeydown = (event) => {
  // With Alt, AltGr or Option a key is the layout's: what comes of it arrives as input.
  if (!drives || event.isComposing || event.metaKey || event.altKey || event.getModifierState("AltGraph")) return;
  const key = event.key, held = (event.ctrlKey ? "ctrl+" : "") + (event.shiftKey ? "shift+" : "");
  if (event.ctrlKey && key.toLowerCase() === "v") return; // comes as a paste
  if (KEYS[key]) say({ type: "key", chord: held + KEYS[key] });
  else if (event.ctrlKey && CONTROLLED.includes(key.toLowerCase())) say({ type: "key", chord: held + key.toLowerCase() });
  else if (!event.ctrlKey && [...key].length === 1) say({ type: "text", text: key });
  else return;
  event.preventDefault();
};
keys.oninput = (event) => { if (!event.isComposing) typed(); };
keys.addEventListener("compositionend", typed);

function typed() {
  const text = keys.value;
  keys.value = "";
  type(text);
}

function type(text) {
  const characters = [...text.replace(/\r\n?/g, "\n")];
  for (let at = 0; at < characters.length; at += LONGEST) {
    say({ type: "text", text: characters.slice(at, at + LONGEST).join("") });
  }
}
document.addEventListener("paste", (event) => {
  if (event.target instanceof HTMLInputElement) return;
  type(event.clipboardData.getData("text"));
  event.preventDefault();
});
const answer = (accept) => say({ type: "dialog", accept, text: part("answer").value });
part("accept").onclick = () => answer(true);
part("dismiss").onclick = () => answer(false);
part("done").onclick = () => say({ type: "done" });
