/* One cell to look at, correct and sign: its picture beside its karyogram.

   Shown by the worklist, and by JupyterLab through anywidget. It asks nothing of any host. What it gets and gives
   back is described in karyo_lib/screening/view.py (a cell) and karyo_lib/screening/review.py (a review). */

export const AUTOSOMES = Array.from({ length: 22 }, (_, i) => String(i + 1));
export const SLOTS = [...AUTOSOMES, "X", "Y", "mar"];
const ROWS = [SLOTS.slice(0, 5), SLOTS.slice(5, 12), SLOTS.slice(12, 18), SLOTS.slice(18)];
const NUMBERS = ["none", "one", "two", "three", "four", "five", "six", "seven", "eight"];
const STATUS = { agree: "agreed", corrected: "corrected", unusable: "not usable" };
const USUAL = "#0072b2", ODD = "#d55e00", DOUBT = "#e69f00", CHOSEN = "#cc1f6a";
const GREY = { 25: "#c4c4c4", 50: "#949494", 75: "#5f5f5f", 100: "#1c1c1c" };

/* ---- what is in the cell ---- */

export function countObjects(objects) {
  const counts = {};
  for (const one of objects) if (one.class) counts[one.class] = (counts[one.class] || 0) + 1;
  return counts;
}

function usualNumber(counts) {
  const numbers = AUTOSOMES.map(name => counts[name] || 0), tally = new Map();
  for (const n of numbers) tally.set(n, (tally.get(n) || 0) + 1);
  let sets = numbers[0];
  for (const [n, times] of tally) if (times > tally.get(sets)) sets = n;
  return sets;
}

/* The rules of karyo_lib.iscn.count_formula; a test compares the two. */
export function countFormula(counts) {
  const sets = usualNumber(counts), parts = [];
  for (const name of AUTOSOMES) {
    const more = (counts[name] || 0) - sets;
    for (let i = 0; i < Math.abs(more); i++) parts.push((more > 0 ? "+" : "-") + name);
  }
  if (counts.mar) parts.push(`+${counts.mar > 1 ? counts.mar : ""}mar`);
  const sex = "X".repeat(counts.X || 0) + "Y".repeat(counts.Y || 0);
  const total = Object.values(counts).reduce((sum, n) => sum + n, 0);
  const usual = 1 + (total > 34) + (total > 57) + (total > 80);
  return [total + (sets === usual ? "" : `<${sets}n>`), sex || "?", ...parts].join(",");
}

/* "47 chromosomes, three in 21": what a technician says first. */
export function describeCount(counts) {
  const sets = usualNumber(counts), total = Object.values(counts).reduce((sum, n) => sum + n, 0);
  const said = AUTOSOMES.filter(name => (counts[name] || 0) !== sets)
    .map(name => `${NUMBERS[counts[name] || 0] || counts[name]} in ${name}`);
  const sex = "X".repeat(counts.X || 0) + "Y".repeat(counts.Y || 0);
  if (!["XX", "XY"].includes(sex)) said.push(sex || "no X or Y");
  if (counts.mar) said.push(`${NUMBERS[counts.mar] || counts.mar} marker${counts.mar > 1 ? "s" : ""}`);
  if (sets !== 2) said.unshift(`${NUMBERS[sets] || sets} of most`);
  const most = said.length > 6 ? [...said.slice(0, 5), `${said.length - 5} more unusual`] : said;
  return `${total} chromosome${total === 1 ? "" : "s"}, ${most.join(", ") || `two in each of 1 to 22, ${sex}`}`;
}

/* ---- shapes: an outline is a list of polygons, each [x, y, x, y, ...] in pixels of the picture ---- */

function points(polygon) {
  return Array.from({ length: polygon.length / 2 }, (_, i) => [polygon[2 * i], polygon[2 * i + 1]]);
}

export function measureArea(outline) {
  let area = 0;
  for (const polygon of outline) {
    const all = points(polygon);
    let own = 0;
    all.forEach(([x, y], i) => { const [u, v] = all[(i + 1) % all.length]; own += x * v - u * y; });
    area += Math.abs(own) / 2;
  }
  return area;
}

function boxOf(outline, angle = 0) {
  const c = Math.cos(angle), s = Math.sin(angle), all = outline.flatMap(points).map(([x, y]) => [c * x - s * y, s * x + c * y]);
  const xs = all.map(p => p[0]), ys = all.map(p => p[1]);
  return [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)];
}

/* The part of a polygon where side * (cross product with the line a -> b) is positive. */
function clip(polygon, [ax, ay], [bx, by], side) {
  const all = points(polygon), out = [];
  const far = ([x, y]) => side * ((bx - ax) * (y - ay) - (by - ay) * (x - ax));
  all.forEach((p, i) => {
    const q = all[(i + 1) % all.length], d = far(p), e = far(q);
    if (d >= 0) out.push(...p);
    if ((d > 0 && e < 0) || (d < 0 && e > 0)) {
      const t = d / (d - e);
      out.push(p[0] + t * (q[0] - p[0]), p[1] + t * (q[1] - p[1]));
    }
  });
  return out.map(v => Math.round(2 * v) / 2);
}

export function cutOutline(outline, a, b) {
  const sides = [1, -1].map(side => outline.map(polygon => clip(polygon, a, b, side)).filter(p => p.length >= 6));
  const least = 0.02 * measureArea(outline);
  return sides.every(part => part.length && measureArea(part) > least) ? sides : null;
}

/* The shortest straight cut that leaves a quarter of the object on either side. */
export function proposeCut(outline) {
  const [x0, y0, x1, y1] = boxOf(outline), middle = [(x0 + x1) / 2, (y0 + y1) / 2], reach = Math.hypot(x1 - x0, y1 - y0);
  const area = measureArea(outline), all = outline.flatMap(polygon => points(polygon).map((p, i, own) => [p, own[(i + 1) % own.length]]));
  let best = null;
  for (let degrees = 0; degrees < 180; degrees += 5) {
    const t = degrees * Math.PI / 180, d = [Math.cos(t), Math.sin(t)], n = [-d[1], d[0]];
    for (let step = -7; step <= 7; step++) {
      const at = [middle[0] + n[0] * step * reach / 24, middle[1] + n[1] * step * reach / 24], hits = [];
      for (const [p, q] of all) {
        const e = (p[0] - at[0]) * n[0] + (p[1] - at[1]) * n[1], f = (q[0] - at[0]) * n[0] + (q[1] - at[1]) * n[1];
        if (e < 0 === f < 0) continue;
        const s = e / (e - f);
        hits.push((p[0] + s * (q[0] - p[0]) - at[0]) * d[0] + (p[1] + s * (q[1] - p[1]) - at[1]) * d[1]);
      }
      hits.sort((u, v) => u - v);
      let chord = 0;
      for (let i = 0; i + 1 < hits.length; i += 2) chord += hits[i + 1] - hits[i];
      if (best && chord >= best.chord) continue;
      const a = [at[0] - d[0] * reach, at[1] - d[1] * reach], b = [at[0] + d[0] * reach, at[1] + d[1] * reach];
      const parts = cutOutline(outline, a, b);
      if (parts && Math.min(...parts.map(measureArea)) > area / 4) best = { chord, a, b };
    }
  }
  return best || { a: [x0 - 1, middle[1]], b: [x1 + 1, middle[1]] };
}

/* ---- what is done to it: each returns new objects, or null where it cannot be done ---- */

const replaceAt = (objects, i, ...with_) => [...objects.slice(0, i), ...with_, ...objects.slice(i + 1)];

export const EDITS = {
  move: (objects, i, slot) => (slot === "" || SLOTS.includes(slot)) && objects[i].class !== slot
    ? replaceAt(objects, i, { ...objects[i], class: slot }) : null,
  turn: (objects, i) => replaceAt(objects, i, { ...objects[i], turned: !objects[i].turned }),
  join: (objects, i, j) => {
    if (i === j) return null;
    const [one, other] = [objects[i], objects[j]];
    const joined = { ...one, class: one.class || other.class, outline: [...one.outline, ...other.outline], was: [...new Set([...one.was, ...other.was])].sort((a, b) => a - b) };
    return replaceAt(objects, i, joined).filter((_, k) => k !== j);
  },
  cut: (objects, i, a, b) => {
    const parts = cutOutline(objects[i].outline, a, b);
    return parts && replaceAt(objects, i, ...parts.map(outline => ({ ...objects[i], outline })));
  },
};

export function readObjects(cell) {
  return cell ? cell.objects.map((one, i) => ({ was: [i], class: one.class, turned: Boolean(one.turned), outline: one.outline })) : [];
}

/* Whether a specialist left all objects as they were read. */
export function sameObjects(one, other) {
  const plain = objects => JSON.stringify(objects.map(o => [o.class, o.turned, o.outline]));
  return plain(one) === plain(other);
}

/* ---- reviews from a file: nothing is taken that is not just what a review is ---- */

const isText = (v, most) => typeof v === "string" && v.length <= most;
const isKeys = (v, keys) => v !== null && typeof v === "object" && !Array.isArray(v) && Object.keys(v).sort().join() === [...keys].sort().join();
const isCount = v => Number.isInteger(v) && v >= 0 && v < 1000;
const isPolygon = v => Array.isArray(v) && v.length >= 6 && v.length <= 4000 && v.length % 2 === 0 && v.every(n => typeof n === "number" && n >= -100 && n <= 20000);
const isObject = v => isKeys(v, ["was", "class", "turned", "outline"]) && Array.isArray(v.was) && v.was.length >= 1 && v.was.length <= 20 && v.was.every(isCount)
  && (v.class === "" || SLOTS.includes(v.class)) && typeof v.turned === "boolean"
  && Array.isArray(v.outline) && v.outline.length >= 1 && v.outline.length <= 20 && v.outline.every(isPolygon);
const isTime = v => typeof v === "string" && /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z$/.test(v) && !isNaN(Date.parse(v));

export function isReview(v) {
  return isKeys(v, ["picture", "status", "initials", "note", "time", "formula", "objects"]) && typeof v.picture === "string" && /^[0-9a-f]{32}$/.test(v.picture)
    && typeof v.status === "string" && Object.hasOwn(STATUS, v.status) && isText(v.initials, 12) && v.initials.trim() !== "" && isText(v.note, 2000) && isTime(v.time)
    && Array.isArray(v.objects) && v.objects.length <= 300 && v.objects.every(isObject)
    && v.formula === (v.objects.length ? countFormula(countObjects(v.objects)) : "");
}

export function readReviews(text) {
  let told;
  try { told = JSON.parse(text); } catch { throw new Error("Expected a .review.json file of karyo. Received no JSON."); }
  if (!isKeys(told, ["format", "version", "reviews"]) || told.format !== "karyo-review" || told.version !== 1 || !Array.isArray(told.reviews) || told.reviews.length > 10000)
    throw new Error("Expected a .review.json file of karyo, version 1. Received another file.");
  told.reviews.forEach((one, i) => { if (!isReview(one)) throw new Error(`Expected reviews of karyo. Number ${i + 1} is none; nothing was taken from the file.`); });
  return told.reviews;
}

export const writeReviews = reviews => JSON.stringify({ format: "karyo-review", version: 1, reviews });

/* ---- drawing ---- */

function pathOf(outline) {
  const path = new Path2D();
  for (const polygon of outline) {
    points(polygon).forEach(([x, y], i) => (i ? path.lineTo(x, y) : path.moveTo(x, y)));
    path.closePath();
  }
  return path;
}

function sizeCanvas(canvas, width, height) {
  const ratio = globalThis.devicePixelRatio || 1, context = canvas.getContext("2d");
  canvas.width = Math.max(1, Math.round(width * ratio));
  canvas.height = Math.max(1, Math.round(height * ratio));
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.imageSmoothingQuality = "high";
  return context;
}

/* Bands of [class, from, to, reversed] end to end (ISCN units), from the top. */
function drawBands(context, bands, path, x, y, width, height, names = false) {
  const total = path.reduce((sum, [, from, to]) => sum + to - from, 0);
  let at = y;
  context.save();
  context.lineWidth = 1;
  context.font = "9px system-ui, sans-serif";
  context.textBaseline = "middle";
  for (const [name, from, to, reversed] of path) {
    const own = (bands[name] || []).filter(band => band[1] > from && band[0] < to);
    for (const [start, stop, stain, band] of reversed ? [...own].reverse() : own) {
      const high = height * (Math.min(stop, to) - Math.max(start, from)) / total;
      context.fillStyle = GREY[stain] || { acen: "#b9a6a6", gvar: "#a9b7c6", stalk: "#dde3ea" }[stain] || "#ffffff";
      const waist = stain === "acen" || stain === "stalk" ? width * 0.22 : 0;
      context.fillRect(x + waist, at, width - 2 * waist, high + 0.4);
      context.strokeStyle = "#555";
      if (names) context.strokeRect(x + waist, at, width - 2 * waist, high);
      else { // small bands would be all frame
        context.fillStyle = "#777";
        for (const side of [x + waist, x + width - waist]) context.fillRect(side, at, 0.6, high + 0.4);
      }
      if (names && high > 9) {
        context.fillStyle = "#333";
        context.fillText((name !== path[0][0] ? name : "") + band, x + width + 4, at + high / 2);
      }
      at += high;
    }
    if (!own.length) { context.fillStyle = "#f3d9b1"; const high = height * (to - from) / total; context.fillRect(x, at, width, high); at += high; }
  }
  context.restore();
}

const whole = (bands, name) => { const own = bands[name]; return own ? [[name, 0, own[own.length - 1][1], false]] : null; };

function drawChromosome(context, picture, one, angle, scale, x, y) {
  const t = angle + (one.turned ? Math.PI : 0), [x0, y0] = boxOf(one.outline, t);
  context.save();
  context.translate(x, y);
  context.scale(scale, scale);
  context.translate(-x0, -y0);
  context.rotate(t);
  context.clip(pathOf(one.outline));
  context.drawImage(picture, 0, 0);
  context.restore();
}

function build(tag, given = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(given)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key in element && key !== "list" && !key.includes("-")) element[key] = value;
    else element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

/* ---- the view ---- */

const KEYS = [
  ["Arrows, Home, End", "choose a chromosome"], ["1 to 22, X, Y, mar, then Enter", "move it to that slot"], ["T", "turn it"],
  ["D or Delete", "it is not a chromosome"], ["J", "join it with another"], ["C", "cut it: arrows shift and turn the line, Enter cuts"],
  ["U or Ctrl Z, R or Ctrl Y", "undo, redo"], ["A, K, B", "sign: agree, corrected, not usable"], ["I, O", "initials, note"],
  ["N, P", "next and previous case"], ["+, -, 0, Z", "enlarge, shrink, whole picture, chosen one"], ["Shift arrows", "shift the picture"],
  ["M", "marks on the picture"], ["Esc", "give up what was begun, then close"],
];

/* Show a cell in an element.

   task: { cell, picture, heat, bands, review, title, decision, reason, facts, notice, initials, sign(review), step(n), close() };
   cell may be null (no reading); picture and heat are addresses of images, or ''. */
export function showCell(root, task) {
  const cell = task.cell, was = readObjects(cell), level = String(cell?.level || 550), bands = task.bands[level] || {};
  let objects = task.review?.objects.length ? task.review.objects : was, signed = task.review || null;
  let past = [], future = [], chosen = 0, mode = "", other = -1, line = null, marks = true, buttons = [], scaleOfKaryogram = 1;
  let view = { zoom: 1, x: 0, y: 0, fitted: true };
  const picture = new Image(), heat = new Image(), dead = new AbortController();
  const angleOf = one => { const first = cell?.objects[one.was[0]]; return ((first?.angle || 0) * Math.PI) / 180; };
  const factsOf = one => (one.was.length === 1 ? cell?.objects[one.was[0]] : null);
  const untouched = one => { const first = was[one.was[0]]; return Boolean(first) && one.was.length === 1 && one.class === first.class && JSON.stringify(one.outline) === JSON.stringify(first.outline); };

  const count = build("p", { className: "kc-count" }), formula = build("p", { className: "kc-formula" }), before = build("p", { className: "kc-before" });
  const said = build("p", { className: "kc-said", "aria-live": "polite" }), canvas = build("canvas", { role: "img" });
  const karyogram = build("div", { className: "kc-karyogram", role: "group", "aria-label": "Karyogram" });
  const detail = build("canvas", { role: "img" }), detailBox = build("div", { className: "kc-detail" }, detail);
  const slot = build("input", { className: "kc-slot-input", type: "text", maxLength: 3, autocomplete: "off", "aria-label": "Slot to move the chosen chromosome to", placeholder: "slot" });
  const initials = build("input", { type: "text", maxLength: 12, value: signed?.initials || task.initials || "", autocomplete: "off", className: "kc-initials" });
  const note = build("input", { type: "text", maxLength: 2000, value: signed?.note || "", autocomplete: "off", className: "kc-note" });
  const record = build("p", { className: "kc-signed", role: "status" });
  const tool = (text, key, act, name) => build("button", { type: "button", className: `kc-tool ${name || ""}`, onclick: () => { act(); keepFocus(); } }, text, build("kbd", {}, key));
  const tools = {
    turn: tool("Turn", "T", () => apply("turn", chosen)), none: tool("Not a chromosome", "D", () => apply("move", chosen, "")),
    join: tool("Join", "J", () => begin("join")), cut: tool("Cut", "C", () => begin("cut")),
    undo: tool("Undo", "U", undo), redo: tool("Redo", "R", redo),
  };
  const signs = {
    agree: tool("Agree", "A", () => sign("agree"), "agree"), corrected: tool("Corrected", "K", () => sign("corrected"), "corrected"),
    unusable: tool("Not usable", "B", () => sign("unusable"), "unusable"),
  };
  const small = (text, label, act) => build("button", { type: "button", className: "kc-small", "aria-label": label, title: label, onclick: () => { act(); keepFocus(); } }, text);
  const shade = build("input", { type: "range", min: 0, max: 100, value: 55, "aria-label": "Strength of the heat map", oninput: draw });

  root.classList.add("karyo-cell");
  root.tabIndex = -1;
  root.setAttribute("data-lm-suppress-shortcuts", "true"); // JupyterLab's own keys
  root.replaceChildren(
    build("header", { className: "kc-head" },
      build("div", { className: "kc-title" }, build("h2", {}, task.title || "Cell"), ...(task.decision ? [build("span", { className: `chip ${task.decision}` }, task.decision)] : []), build("span", { className: "kc-where" }, task.where || "")),
      build("div", { className: "kc-answer" }, count, formula, before),
      build("p", { className: "kc-why" }, task.reason || ""),
    ),
    build("div", { className: "kc-body" },
      build("div", { className: "kc-picture" }, canvas,
        build("div", { className: "kc-zoom" }, small("+", "Enlarge (+)", () => zoomBy(1.4)), small("\u2212", "Shrink (-)", () => zoomBy(1 / 1.4)), small("fit", "Whole picture (0)", fit), ...(was.length ? [small("marks", "Marks on the picture (M)", toggleMarks)] : []), ...(task.heat ? [shade] : []))),
      build("div", { className: "kc-side" }, karyogram, detailBox),
    ),
    build("footer", { className: "kc-foot" },
      build("div", { className: "kc-tools", role: "group", "aria-label": "Correct" },
        build("label", { className: "kc-move" }, "Move to ", slot), ...Object.values(tools), said),
      build("div", { className: "kc-record", role: "group", "aria-label": "Sign" },
        build("label", {}, "Initials ", initials), build("label", { className: "kc-grow" }, "Note ", note), ...Object.values(signs), record),
      build("div", { className: "kc-bottom" },
        ...(task.step ? [tool("Previous", "P", () => task.step(-1)), tool("Next", "N", () => task.step(1))] : []),
        build("details", { className: "kc-facts" }, build("summary", {}, "Keys and facts"),
          build("dl", { tabIndex: 0 }, ...(task.facts || []).flatMap(([name, value]) => [build("dt", {}, name), build("dd", {}, String(value))])),
          build("dl", { tabIndex: 0 }, ...KEYS.flatMap(([key, what]) => [build("dt", {}, key), build("dd", {}, what)]))),
        build("span", { className: "kc-notice" }, task.notice || ""),
        ...(task.close ? [tool("Close", "Esc", () => task.close())] : [])),
    ),
  );

  /* -- focus and choice -- */
  function keepFocus() {
    if (root.contains(document.activeElement) && document.activeElement.matches("input")) return;
    (buttons[chosen] || root).focus({ preventScroll: true });
  }
  function choose(i, focus = true) {
    if (!objects.length) return;
    chosen = Math.max(0, Math.min(objects.length - 1, i));
    buttons.forEach((button, k) => { button.tabIndex = k === chosen ? 0 : -1; button.setAttribute("aria-pressed", k === chosen); });
    if (focus) keepFocus();
    drawDetail();
    draw();
    tell();
  }
  /* in the order in which they stand in the karyogram */
  const order = () => [...karyogram.querySelectorAll(".kc-one")].map(button => buttons.indexOf(button));
  function walk(step) {
    const all = order(), at = all.indexOf(chosen);
    choose(all[Math.max(0, Math.min(all.length - 1, at + step))]);
  }
  function climb(step) {
    const here = buttons[chosen]?.getBoundingClientRect();
    if (!here) return;
    const middle = box => box.left + box.width / 2;
    const rows = [...karyogram.querySelectorAll(".kc-row")], at = rows.indexOf(buttons[chosen].closest(".kc-row"));
    for (let r = at + step; r >= 0 && r < rows.length; r += step) {
      const there = [...rows[r].querySelectorAll(".kc-one")];
      if (!there.length) continue;
      there.sort((a, b) => Math.abs(middle(a.getBoundingClientRect()) - middle(here)) - Math.abs(middle(b.getBoundingClientRect()) - middle(here)));
      return choose(buttons.indexOf(there[0]));
    }
  }
  function tell(text) {
    const one = objects[chosen];
    if (text) return void (said.textContent = text);
    if (!one) return void (said.textContent = "");
    const facts = factsOf(one), own = objects.filter(o => o.class === one.class);
    const place = one.class ? `${one.class}: ${own.indexOf(one) + 1} of ${own.length}` : "not a chromosome";
    said.textContent = !facts || !untouched(one) ? `${place}, corrected` : [place, one.class && `read with ${facts.p > 0.99 ? ">99" : Math.round(100 * facts.p)} %`, facts.alone && `by itself like ${facts.alone}`, facts.printed && `laid out as ${facts.printed}`, facts.mark].filter(Boolean).join(", ");
  }

  /* -- corrections -- */
  function apply(name, ...how) {
    if (!objects.length) return false;
    const next = EDITS[name](objects, ...how);
    if (!next) { tell("That changes nothing."); return false; }
    const held = objects[chosen];
    past.push(objects);
    future = [];
    objects = next;
    const at = objects.findIndex(o => o === held || (o.was.some(i => held.was.includes(i)) && o.class === (name === "move" ? how[1] : held.class)));
    chosen = Math.max(0, Math.min(objects.length - 1, at < 0 ? chosen : at));
    refresh();
    return true;
  }
  function undo() { if (past.length) { future.push(objects); objects = past.pop(); refresh(); } else tell("Nothing to undo."); }
  function redo() { if (future.length) { past.push(objects); objects = future.pop(); refresh(); } else tell("Nothing to redo."); }
  function begin(what) {
    if (!objects.length) return;
    mode = what;
    other = -1;
    root.dataset.mode = mode;
    if (mode === "cut") {
      line = proposeCut(objects[chosen].outline);
      zoomTo(objects[chosen].outline);
      tell("Cut: arrows shift and turn the line, or draw it on the picture; Enter cuts, Esc gives up.");
    } else tell("Join: choose the other one with the arrows or a click, then Enter; Esc gives up.");
    draw();
  }
  function end() { mode = ""; other = -1; line = null; delete root.dataset.mode; drawMarksOnButtons(); draw(); }
  function finish() {
    if (mode === "cut") { const { a, b } = line; end(); if (!apply("cut", chosen, a, b)) tell("The line does not cut it."); }
    else if (mode === "join" && other >= 0) { const j = other; end(); apply("join", chosen, j); }
  }
  function pickOther(i) { other = i; drawMarksOnButtons(); draw(); tell(`Join with ${objects[i].class || "what is no chromosome"}? Enter joins.`); }
  function shiftLine(forward, turn) {
    const { a, b } = line, d = [b[0] - a[0], b[1] - a[1]], long = Math.hypot(...d), middle = [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
    const n = [-d[1] / long, d[0] / long], t = Math.atan2(d[1], d[0]) + turn, at = [middle[0] + n[0] * forward, middle[1] + n[1] * forward];
    line = { a: [at[0] - Math.cos(t) * long / 2, at[1] - Math.sin(t) * long / 2], b: [at[0] + Math.cos(t) * long / 2, at[1] + Math.sin(t) * long / 2] };
    draw();
  }
  function sign(status) {
    const changed = !sameObjects(objects, was);
    if (status === "agree" && changed) return tell("There are corrections: sign as corrected (K), or undo them.");
    if (status === "corrected" && !changed) return tell("Nothing was corrected: sign as agreed (A).");
    if (!initials.value.trim()) { initials.focus(); return tell("Initials, please; then sign again."); }
    signed = { picture: task.key, status, initials: initials.value.trim(), note: note.value, time: new Date().toISOString(), formula: objects.length ? countFormula(countObjects(objects)) : "", objects };
    showRecord();
    const kept = task.sign(signed);
    tell(kept || `Signed as ${STATUS[status]}.${task.step ? " N: next case." : ""}`);
  }
  function showRecord() {
    for (const [status, button] of Object.entries(signs)) button.setAttribute("aria-pressed", signed?.status === status);
    const stale = signed && !sameObjects(signed.objects, objects);
    record.textContent = !signed ? "open" : `${STATUS[signed.status]}, ${signed.initials}, ${signed.time.slice(0, 16).replace("T", " ")} UTC${stale ? "; changed since, sign again" : ""}`;
  }

  /* -- karyogram -- */
  function refresh() {
    const counts = countObjects(objects), now = countFormula(counts), set = objects.filter(o => !o.class).length;
    count.textContent = cell ? describeCount(counts) + (set ? `; ${set} set aside` : "") : "No chromosomes were read.";
    formula.textContent = cell ? now : "";
    before.textContent = cell ? [now !== cell.formula && `read as ${cell.formula}`, cell.arrangement && cell.arrangement !== cell.formula && `laid out as ${cell.arrangement}`].filter(Boolean).join(", ") : "";
    tools.undo.disabled = !past.length;
    tools.redo.disabled = !future.length;
    for (const button of [tools.turn, tools.none, tools.join, tools.cut, slot]) button.disabled = !objects.length;
    layOut();
    showRecord();
    choose(chosen, root.contains(document.activeElement) || document.activeElement === document.body);
  }
  function layOut() {
    buttons = [];
    const rows = [...ROWS, [""]].map(names => {
      const shown = names.map(name => {
        const own = objects.map((o, i) => [o, i]).filter(([o]) => o.class === name);
        if (!name && !own.length) return null;
        if (name === "mar" && !own.length) return null;
        const box = build("div", { className: "kc-slot", role: "group", "aria-label": name ? `slot ${name}` : "not chromosomes" });
        box.dataset.slot = name;
        const ones = build("div", { className: "kc-ones" });
        const path = whole(bands, name);
        if (path) { const ideogram = build("canvas", { className: "kc-ideogram" }); ideogram.setAttribute("aria-hidden", "true"); ones.append(ideogram); }
        own.forEach(([, i]) => {
          const drawn = build("canvas");
          drawn.setAttribute("aria-hidden", "true");
          buttons[i] = build("button", { type: "button", className: "kc-one", tabIndex: -1, onclick: () => { if (mode === "join" && i !== chosen) { pickOther(i); finish(); } else if (!mode) choose(i); } }, drawn);
          buttons[i].addEventListener("pointerdown", event => drag(event, i));
          ones.append(buttons[i]);
        });
        box.append(ones, build("span", { className: "kc-name" }, name || "not chromosomes"));
        box.addEventListener("dblclick", () => { if (objects[chosen]) apply("move", chosen, name); });
        return box;
      }).filter(Boolean);
      return shown.length ? build("div", { className: "kc-row" }, ...shown) : null;
    }).filter(Boolean);
    karyogram.replaceChildren(...rows);
    drawMarksOnButtons();
    drawKaryogram();
  }
  function drawMarksOnButtons() {
    objects.forEach((one, i) => {
      const facts = untouched(one) ? factsOf(one) : null, button = buttons[i], own = objects.filter(o => o.class === one.class);
      button.classList.toggle("doubtful", Boolean(facts?.doubtful));
      button.classList.toggle("odd", Boolean(facts?.mark));
      button.classList.toggle("other", i === other);
      button.setAttribute("aria-label", `${one.class || "not a chromosome"}, ${own.indexOf(one) + 1} of ${own.length}${facts?.doubtful ? ", doubtful" : ""}${facts?.mark ? `, ${facts.mark}` : ""}`);
    });
  }
  function drawKaryogram() {
    if (!picture.naturalWidth || !objects.length) return;
    const sizes = objects.map(one => { const [x0, y0, x1, y1] = boxOf(one.outline, angleOf(one)); return [x1 - x0, y1 - y0]; });
    const rows = [...karyogram.querySelectorAll(".kc-row")], gap = 10;
    const tall = rows.map(row => Math.max(...[...row.querySelectorAll(".kc-one")].map(b => sizes[buttons.indexOf(b)][1]), 1));
    const wide = Math.max(1, ...rows.map(row => [...row.querySelectorAll(".kc-one")].reduce((sum, b) => sum + sizes[buttons.indexOf(b)][0] + 4, 0)));
    const fixed = Math.max(...rows.map(row => row.querySelectorAll(".kc-slot").length * (14 + gap) + row.querySelectorAll(".kc-one").length * 8));
    scaleOfKaryogram = Math.max(0.1, Math.min((karyogram.clientHeight - rows.length * 34) / tall.reduce((a, b) => a + b, 0), (karyogram.clientWidth - fixed - 20) / wide, 3));
    objects.forEach((one, i) => {
      const [w, h] = sizes[i], k = scaleOfKaryogram, context = sizeCanvas(buttons[i].firstChild, w * k + 2, h * k + 2);
      drawChromosome(context, picture, one, angleOf(one), k, 1, 1);
    });
    for (const box of karyogram.querySelectorAll(".kc-slot")) {
      const ideogram = box.querySelector(".kc-ideogram"), path = whole(bands, box.dataset.slot);
      if (!ideogram || !path) continue;
      const own = [...box.querySelectorAll(".kc-one")].map(b => sizes[buttons.indexOf(b)][1] * scaleOfKaryogram);
      const high = own.length ? own.reduce((a, b) => a + b, 0) / own.length : path[0][2] * unit();
      drawBands(sizeCanvas(ideogram, 9, high), bands, path, 1, 0, 7, high);
    }
  }
  const unit = () => { // pixels of an ISCN unit in this karyogram
    const all = objects.filter(o => bands[o.class]);
    const long = all.reduce((sum, o) => { const [, y0, , y1] = boxOf(o.outline, angleOf(o)); return sum + y1 - y0; }, 0);
    return all.length ? scaleOfKaryogram * long / all.reduce((sum, o) => sum + whole(bands, o.class)[0][2], 0) : 0.01;
  };
  function drawDetail() {
    const one = objects[chosen], width = detailBox.clientWidth, height = detailBox.clientHeight;
    if (!one || !picture.naturalWidth || height < 40) return;
    const own = one.class ? objects.filter(o => o.class === one.class) : [one], context = sizeCanvas(detail, width, height);
    const sizes = own.map(o => { const [x0, y0, x1, y1] = boxOf(o.outline, angleOf(o)); return [x1 - x0, y1 - y0]; });
    const path = whole(bands, one.class), room = width - (path ? 120 : 20), tall = Math.max(...sizes.map(s => s[1]));
    const k = Math.min((height - 28) / tall, room / sizes.reduce((sum, s) => sum + s[0] + 22, 0), 6);
    context.fillStyle = "#fff";
    context.fillRect(0, 0, width, height);
    let x = 12;
    if (path) { const high = k * sizes.reduce((sum, s) => sum + s[1], 0) / sizes.length; drawBands(context, bands, path, x, 8, 18, high, true); x += 80; }
    own.forEach((o, i) => {
      const facts = untouched(o) ? factsOf(o) : null, [w, h] = sizes[i];
      drawChromosome(context, picture, o, angleOf(o), k, x, 8);
      if (facts?.path) drawBands(context, bands, o.turned ? facts.path.map(([n, f, t, r]) => [n, f, t, !r]).reverse() : facts.path, x + w * k + 4, 8, 8, h * k);
      context.fillStyle = facts?.mark ? "#a84a00" : facts?.doubtful ? "#6e4b00" : "#1b1f24";
      context.font = `${o === one ? "bold " : ""}12px system-ui, sans-serif`;
      context.fillText(`${o === one ? "\u25b8 " : ""}${o.class || "not one"}${facts?.doubtful ? "?" : ""}${facts?.mark ? " !" : ""}`, x, height - 6);
      x += w * k + (facts?.path ? 28 : 16);
    });
    detail.setAttribute("aria-label", one.class ? `Chromosomes ${one.class} enlarged${path ? ` beside their bands at the ${level} level` : ""}` : "The chosen object enlarged");
  }

  /* -- picture -- */
  function draw() {
    const box = canvas.parentNode, width = box.clientWidth, height = box.clientHeight;
    if (!picture.naturalWidth || !width) return;
    const context = sizeCanvas(canvas, width, height);
    if (view.fitted) { view.zoom = Math.min(width / picture.naturalWidth, height / picture.naturalHeight); view.x = (width - view.zoom * picture.naturalWidth) / 2; view.y = (height - view.zoom * picture.naturalHeight) / 2; }
    context.translate(view.x, view.y);
    context.scale(view.zoom, view.zoom);
    context.drawImage(picture, 0, 0);
    if (task.heat && heat.naturalWidth) {
      context.globalAlpha = shade.value / 100;
      context.globalCompositeOperation = "multiply";
      context.drawImage(heat, 0, 0, picture.naturalWidth, picture.naturalHeight);
      context.globalAlpha = 1;
      context.globalCompositeOperation = "source-over";
    }
    const px = 1 / view.zoom;
    objects.forEach((one, i) => {
      if (!marks && i !== chosen && i !== other) return;
      const facts = untouched(one) ? factsOf(one) : null, colour = i === chosen || i === other ? CHOSEN : facts?.mark ? ODD : facts?.doubtful ? DOUBT : USUAL;
      const path = pathOf(one.outline);
      context.setLineDash(facts?.doubtful ? [5 * px, 3 * px] : []);
      context.lineWidth = (i === chosen || i === other ? 5 : 3) * px;
      context.strokeStyle = "#ffffffb0";
      context.stroke(path);
      context.lineWidth = (i === chosen || i === other ? 2.5 : 1.2) * px;
      context.strokeStyle = colour;
      context.stroke(path);
      if (!marks) return;
      const [x0, y0, x1] = boxOf(one.outline);
      context.setLineDash([]);
      context.font = `${i === chosen ? "bold " : ""}${12 * px}px system-ui, sans-serif`;
      context.textAlign = "center";
      context.lineWidth = 3 * px;
      context.strokeStyle = "#fff";
      const name = (one.class || "\u00d7") + (facts?.doubtful ? "?" : "");
      context.strokeText(name, (x0 + x1) / 2, y0 - 3 * px);
      context.fillStyle = colour === DOUBT ? "#6e4b00" : colour;
      context.fillText(name, (x0 + x1) / 2, y0 - 3 * px);
    });
    if (line) {
      context.setLineDash([]);
      context.lineWidth = 2.5 * px;
      context.strokeStyle = CHOSEN;
      context.beginPath();
      context.moveTo(...line.a);
      context.lineTo(...line.b);
      context.stroke();
    }
    canvas.setAttribute("aria-label", `Picture of the cell, ${picture.naturalWidth} by ${picture.naturalHeight} pixels, at ${Math.round(100 * view.zoom)} %`);
    canvas.dataset.zoom = view.zoom;
  }
  function zoomBy(factor, at = [canvas.clientWidth / 2, canvas.clientHeight / 2]) {
    const zoom = Math.max(0.05, Math.min(32, view.zoom * factor)), k = zoom / view.zoom;
    view = { zoom, x: at[0] - k * (at[0] - view.x), y: at[1] - k * (at[1] - view.y), fitted: false };
    draw();
  }
  function zoomTo(outline) {
    const [x0, y0, x1, y1] = boxOf(outline), w = canvas.clientWidth, h = canvas.clientHeight, zoom = Math.min(12, 0.45 * Math.min(w / (x1 - x0), h / (y1 - y0)));
    view = { zoom, x: w / 2 - zoom * (x0 + x1) / 2, y: h / 2 - zoom * (y0 + y1) / 2, fitted: false };
    draw();
  }
  function fit() { view.fitted = true; draw(); }
  function shift(dx, dy) { view = { ...view, x: view.x + dx, y: view.y + dy, fitted: false }; draw(); }
  function toggleMarks() { marks = !marks; draw(); }
  const place = event => { const box = canvas.getBoundingClientRect(); return [(event.clientX - box.left - view.x) / view.zoom, (event.clientY - box.top - view.y) / view.zoom]; };
  function objectAt([x, y]) {
    const probe = document.createElement("canvas").getContext("2d");
    const hits = objects.map((o, i) => [measureArea(o.outline), i]).filter(([, i]) => probe.isPointInPath(pathOf(objects[i].outline), x, y));
    return hits.length ? hits.sort((a, b) => a[0] - b[0])[0][1] : -1;
  }
  canvas.addEventListener("wheel", event => { event.preventDefault(); const box = canvas.getBoundingClientRect(); zoomBy(Math.exp(-event.deltaY / 400), [event.clientX - box.left, event.clientY - box.top]); }, { passive: false });
  canvas.addEventListener("pointerdown", event => {
    const from = place(event), start = [event.clientX, event.clientY], held = { ...view };
    let moved = false;
    event.preventDefault(); // the focus stays where the keys are
    canvas.setPointerCapture(event.pointerId);
    const move = now => {
      const dx = now.clientX - start[0], dy = now.clientY - start[1];
      moved ||= Math.hypot(dx, dy) > 4;
      if (!moved) return;
      if (mode === "cut") { line = { a: from, b: place(now) }; draw(); }
      else { view = { ...held, x: held.x + dx, y: held.y + dy, fitted: false }; draw(); }
    };
    const up = () => {
      canvas.removeEventListener("pointermove", move);
      canvas.removeEventListener("pointerup", up);
      canvas.removeEventListener("pointercancel", up);
      const hit = moved ? -1 : objectAt(from);
      if (hit >= 0 && mode === "join" && hit !== chosen) { pickOther(hit); finish(); }
      else if (hit >= 0 && !mode) choose(hit);
      keepFocus();
    };
    canvas.addEventListener("pointermove", move);
    canvas.addEventListener("pointerup", up);
    canvas.addEventListener("pointercancel", up);
  });
  function drag(event, i) {
    if (mode || event.button) return;
    const start = [event.clientX, event.clientY], button = buttons[i];
    let ghost = null;
    const over = now => root.ownerDocument.elementsFromPoint(now.clientX, now.clientY).map(e => e.closest(".kc-slot")).find(Boolean);
    const move = now => {
      if (!ghost && Math.hypot(now.clientX - start[0], now.clientY - start[1]) > 5) {
        choose(i);
        ghost = build("canvas", { className: "kc-ghost" });
        ghost.setAttribute("aria-hidden", "true");
        const from = button.firstChild, context = sizeCanvas(ghost, from.clientWidth, from.clientHeight);
        context.drawImage(from, 0, 0, from.clientWidth, from.clientHeight);
        root.append(ghost);
      }
      if (!ghost) return;
      const box = root.getBoundingClientRect();
      ghost.style.left = `${now.clientX - box.left}px`;
      ghost.style.top = `${now.clientY - box.top}px`;
      karyogram.querySelectorAll(".kc-over").forEach(e => e.classList.remove("kc-over"));
      over(now)?.classList.add("kc-over");
    };
    const up = now => {
      document.removeEventListener("pointermove", move);
      document.removeEventListener("pointerup", up);
      karyogram.querySelectorAll(".kc-over").forEach(e => e.classList.remove("kc-over"));
      if (!ghost) return;
      ghost.remove();
      const there = over(now);
      if (there) apply("move", i, there.dataset.slot);
      keepFocus();
    };
    document.addEventListener("pointermove", move, { signal: dead.signal });
    document.addEventListener("pointerup", up, { signal: dead.signal });
  }

  /* -- keys -- */
  function leaveInput() { (buttons[chosen] || root).focus({ preventScroll: true }); }
  slot.addEventListener("keydown", event => {
    if (event.key !== "Enter" && event.key !== "Escape") return;
    event.preventDefault();
    event.stopPropagation();
    const name = slot.value.trim(), to = /^(x|y)$/i.test(name) ? name.toUpperCase() : name.toLowerCase() === "m" ? "mar" : name.toLowerCase();
    slot.value = "";
    leaveInput();
    if (event.key === "Enter" && !(SLOTS.includes(to) && apply("move", chosen, to))) tell(`Expected a slot from 1 to 22, X, Y or mar, other than its own. Received \u201c${name}\u201d.`);
  });
  for (const input of [initials, note]) input.addEventListener("keydown", event => { if (event.key === "Enter" || event.key === "Escape") { event.preventDefault(); event.stopPropagation(); leaveInput(); } });
  root.addEventListener("keydown", event => {
    const typing = event.target.matches("input"), key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const command = event.ctrlKey || event.metaKey;
    let act = null;
    if (typing && !(event.target.type === "range" && !key.startsWith("Arrow"))) return;
    if (event.target.matches("summary") && (key === "Enter" || key === " ")) return;
    if (command) act = { z: event.shiftKey ? redo : undo, y: redo }[key];
    else if (event.altKey) return;
    else if (mode && key === "Escape") act = () => { end(); tell(); };
    else if (mode && key === "Enter") act = finish;
    else if (mode === "cut" && key.startsWith("Arrow")) act = () => shiftLine({ ArrowUp: -1, ArrowDown: 1 }[key] || 0, { ArrowLeft: -Math.PI / 60, ArrowRight: Math.PI / 60 }[key] || 0);
    else if (mode === "join" && key.startsWith("Arrow")) act = () => {
      const all = order().filter(i => i !== chosen), at = all.indexOf(other), step = key === "ArrowLeft" || key === "ArrowUp" ? -1 : 1;
      const near = order().indexOf(chosen);
      pickOther(at < 0 ? all[Math.max(0, Math.min(all.length - 1, step > 0 ? near : near - 1))] : all[(at + step + all.length) % all.length]);
    };
    else if (event.shiftKey && key.startsWith("Arrow")) act = () => shift({ ArrowLeft: 40, ArrowRight: -40 }[key] || 0, { ArrowUp: 40, ArrowDown: -40 }[key] || 0);
    else if (/^[0-9]$/.test(key) && key !== "0" || key === "x" || key === "y") act = () => { if (!objects.length) return; slot.value = key.toUpperCase(); slot.focus(); };
    else act = {
      ArrowLeft: () => walk(-1), ArrowRight: () => walk(1), ArrowUp: () => climb(-1), ArrowDown: () => climb(1), Home: () => walk(-1000), End: () => walk(1000),
      t: () => apply("turn", chosen), d: () => apply("move", chosen, ""), Delete: () => apply("move", chosen, ""), j: () => begin("join"), c: () => begin("cut"), u: undo, r: redo,
      a: () => sign("agree"), k: () => sign("corrected"), b: () => sign("unusable"), i: () => initials.focus(), o: () => note.focus(),
      n: task.step && (() => task.step(1)), p: task.step && (() => task.step(-1)), "+": () => zoomBy(1.4), "=": () => zoomBy(1.4), "-": () => zoomBy(1 / 1.4), 0: fit, z: () => objects[chosen] && zoomTo(objects[chosen].outline),
      m: toggleMarks, Escape: task.close,
    }[key];
    if (!act) return;
    event.preventDefault();
    event.stopPropagation();
    act();
    if (root.isConnected && !dead.signal.aborted) keepFocus();
  }, { signal: dead.signal });

  /* -- start -- */
  const all = () => { drawKaryogram(); drawDetail(); draw(); };
  const watch = new ResizeObserver(all);
  watch.observe(canvas.parentNode);
  watch.observe(karyogram);
  picture.onload = () => { root.dataset.ready = "true"; all(); };
  heat.onload = draw;
  delete root.dataset.ready;
  if (task.picture) picture.src = task.picture;
  else { canvas.hidden = true; canvas.parentNode.append(build("p", { className: "kc-none" }, "There is no picture of this case here.")); root.dataset.ready = "true"; }
  if (task.heat) heat.src = task.heat;
  refresh();
  const first = order().find(i => i >= 0 && cell?.objects[objects[i].was[0]]?.mark);
  if (objects.length) choose(first ?? order()[0]);
  keepFocus();
  return { destroy() { dead.abort(); watch.disconnect(); picture.onload = heat.onload = null; root.replaceChildren(); } };
}

/* ---- JupyterLab ---- */

function render({ model, el }) {
  const root = document.createElement("div");
  let shown = null, address = "";
  root.classList.add("kc-jupyter");
  el.append(root);
  const show = () => {
    shown?.destroy();
    if (address) URL.revokeObjectURL(address);
    const content = model.get("picture");
    address = content?.byteLength ? URL.createObjectURL(new Blob([content], { type: "image/webp" })) : "";
    const told = model.get("told");
    shown = showCell(root, {
      ...told, picture: address, bands: model.get("bands"), review: Object.keys(model.get("review")).length ? model.get("review") : null, initials: model.get("initials"),
      sign: review => { model.set("initials", review.initials); model.set("review", review); model.save_changes(); return ""; },
      step: told.last > 1 ? n => { model.set("at", Math.max(0, Math.min(told.last - 1, model.get("at") + n))); model.save_changes(); } : null,
    });
  };
  model.on("change:told", show);
  show();
  return () => { model.off("change:told", show); shown?.destroy(); if (address) URL.revokeObjectURL(address); };
}

export default { render };
