/* The list of cases: filters, order, reviews kept in the browser or by `karyo review`; cell.js is above it. */
(function () {
  const $ = (selector, from = document) => from.querySelector(selector);
  const $$ = (selector, from = document) => [...from.querySelectorAll(selector)];
  const told = JSON.parse($("#worklist").textContent);
  const body = $(".list tbody"), rows = [...body.rows], dialog = $("dialog"), search = $("input[type=search]");
  const buttons = $$(".filter button"), empty = $(".empty"), served = location.protocol.startsWith("http"), STORE = "karyo-review:";
  const reviews = new Map(), unsaved = new Set(); // both by the digest of a case's pixels
  let texts = null, current = null, shown = null; // texts: what is searched, a case
  rows.forEach((row, place) => { row.place = place; });

  /* -- filters and order, kept in the address: they survive a reload -- */
  function keep() {
    const state = new URLSearchParams(), pressed = buttons.filter(b => b.getAttribute("aria-pressed") === "true").map(b => b.value);
    const sorted = $(".list th[aria-sort]"), by = sorted && $("button", sorted).value, down = sorted?.getAttribute("aria-sort") === "descending";
    if (pressed.length) state.set("show", pressed.join(" "));
    if (search.value) state.set("search", search.value);
    if (by && (by !== "rank" || down)) state.set("sort", (down ? "-" : "") + by);
    if (current) state.set("case", current.dataset.rank);
    history.replaceState(null, "", `#${state}`);
  }
  function filter() {
    texts ||= rows.map(row => [...Object.values(row.dataset), row.title, $(".review", row).textContent].join(" ").toLowerCase());
    const pressed = buttons.filter(b => b.getAttribute("aria-pressed") === "true").map(b => b.value);
    const decisions = pressed.filter(v => v !== "open" && v !== "signed"), states = pressed.filter(v => v === "open" || v === "signed");
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let visible = 0;
    for (const row of rows) {
      const fits = (!decisions.length || decisions.includes(row.dataset.decision)) && (!states.length || states.includes(row.dataset.review || "open"))
        && words.every(word => texts[row.place].includes(word));
      row.hidden = !fits;
      visible += fits;
    }
    $(".shown").textContent = visible === rows.length ? `${rows.length} cases` : `${visible} of ${rows.length} cases`;
    empty.hidden = visible > 0;
  }
  function sort(key, down) {
    const number = ["p", "rank"].includes(key);
    const sorted = rows.map(row => [number ? parseFloat(row.dataset[key]) : row.dataset[key] || "", row]).sort(([x, a], [y, b]) => {
      if (number && (isNaN(x) || isNaN(y))) return isNaN(x) - isNaN(y) || a.place - b.place; // unread files stay last
      const order = number ? x - y : x.localeCompare(y, undefined, { numeric: true });
      return (down ? -order : order) || a.place - b.place;
    });
    body.append(...sorted.map(([, row]) => row));
    for (const heading of $$(".list th")) heading.removeAttribute("aria-sort");
    $(`.list th button[value="${key}"]`).parentNode.setAttribute("aria-sort", down ? "descending" : "ascending");
  }
  for (const button of buttons) button.addEventListener("click", () => { button.setAttribute("aria-pressed", button.getAttribute("aria-pressed") !== "true"); filter(); keep(); });
  search.addEventListener("input", () => { filter(); keep(); });
  $(".list thead").addEventListener("click", event => {
    const button = event.target.closest("button"), heading = button?.parentNode;
    if (!button) return;
    sort(button.value, heading.hasAttribute("aria-sort") ? heading.getAttribute("aria-sort") === "ascending" : button.value === "p");
    keep();
  });
  document.addEventListener("keydown", event => {
    if (event.key !== "/" || dialog.open || event.target.matches("input")) return;
    event.preventDefault();
    search.focus();
  });

  /* -- reviews -- */
  function note(review, fresh) {
    const held = reviews.get(review.picture);
    if (held && held.time >= review.time) return;
    reviews.set(review.picture, review);
    if (fresh) unsaved.add(review.picture);
    for (const row of rows) if (row.dataset.key === review.picture) showReview(row, review);
  }
  function showReview(row, review) {
    row.dataset.review = "signed";
    $(".review", row).textContent = `${STATUS[review.status]}, ${review.initials}`;
    const now = $(".reviewed", row), read = $(".formula", row)?.textContent.trim();
    if (now) now.textContent = review.formula && review.formula !== read && review.status !== "unusable" ? `signed as ${review.formula}` : "";
    texts = null;
  }
  function summarise() {
    const known = rows.filter(row => row.dataset.key), open = known.filter(row => !row.dataset.review).length;
    $('.filter button[value="open"] b').textContent = rows.filter(row => !row.dataset.review).length;
    $('.filter button[value="signed"] b').textContent = known.length - open;
    $("#save").textContent = `Save reviews${unsaved.size ? ` (${unsaved.size} new)` : ""}`;
    $("#save").disabled = !reviews.size;
    plotAgreement();
  }
  const inform = text => { $(".kept").textContent = text; };
  /* Returns '' where the review is safe, otherwise what the specialist must know. */
  function keepReview(review) {
    note(review, true);
    let kept = "";
    try { localStorage.setItem(STORE + review.picture, JSON.stringify(review)); } catch { kept = "The browser keeps no more: save the reviews to a file now, or they are lost with this page."; }
    if (served) send(review);
    summarise();
    filter();
    return kept;
  }
  async function send(review) {
    try {
      const answer = await fetch("reviews", { method: "POST", headers: { "Content-Type": "application/json" }, body: writeReviews([review]) });
      if (!answer.ok) throw new Error(await answer.text());
      unsaved.delete(review.picture);
      inform("Written beside the worklist.");
    } catch (error) { inform(`Not written: ${error.message}. It is kept in this browser.`); }
    summarise();
  }
  async function fetchReviews() {
    try { readReviews(await (await fetch("reviews")).text()).forEach(review => note(review, false)); } catch (error) { inform(`Earlier reviews were not read: ${error.message}`); }
    summarise();
    filter();
  }
  function loadKept() {
    for (const row of rows) {
      if (!row.dataset.key) continue;
      try {
        const review = JSON.parse(localStorage.getItem(STORE + row.dataset.key) || "null");
        if (review && review.picture === row.dataset.key && isReview(review)) note(review, true);
      } catch { /* what the browser kept is damaged: the case is open */ }
    }
  }
  $("#save").addEventListener("click", () => {
    const mine = [...reviews.values()].filter(review => rows.some(row => row.dataset.key === review.picture));
    const link = document.createElement("a"), address = URL.createObjectURL(new Blob([writeReviews(mine)], { type: "application/json" }));
    link.href = address;
    link.download = "worklist.review.json";
    link.click();
    setTimeout(() => URL.revokeObjectURL(address), 1000);
    unsaved.clear();
    inform(`${mine.length} review${mine.length === 1 ? "" : "s"} saved: put the file beside the worklist for karyo export.`);
    summarise();
  });
  $("#load").addEventListener("click", () => $("#file").click());
  $("#file").addEventListener("change", async event => {
    const file = event.target.files[0];
    event.target.value = "";
    if (!file) return;
    try {
      if (file.size > 100e6) throw new Error("Expected a .review.json file of at most 100 MB.");
      const found = readReviews(await file.text()), here = found.filter(review => rows.some(row => row.dataset.key === review.picture));
      here.forEach(review => { note(review, false); try { localStorage.setItem(STORE + review.picture, JSON.stringify(reviews.get(review.picture))); } catch { /* they are in the file */ } });
      inform(`${here.length} of ${found.length} reviews are of these cases.`);
      summarise();
      filter();
    } catch (error) { inform(error.message); }
  });

  /* -- agreement of reader and reviewer over time -- */
  function wilson(k, n, z = 1.96) {
    const p = k / n, d = 1 + z * z / n, m = (p + z * z / (2 * n)) / d, h = z * Math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / d;
    return [Math.max(0, m - h), Math.min(1, m + h)];
  }
  function plotAgreement() {
    const WINDOW = 20, figure = $("#agreement"), said = $("p", figure), box = $("svg", figure);
    const all = [...reviews.values()].filter(r => r.status !== "unusable" && rows.some(row => row.dataset.key === r.picture && row.dataset.formula)).sort((a, b) => (a.time < b.time ? -1 : 1));
    figure.hidden = !all.length;
    if (!all.length) return;
    const hits = all.map(r => r.status === "agree"), k = hits.filter(Boolean).length, [low, high] = wilson(k, all.length), percent = v => `${Math.round(100 * v)} %`;
    said.textContent = `${k} of ${all.length} cells were signed as they were read (${percent(k / all.length)}, 95 % interval ${percent(low)} to ${percent(high)}).`;
    const x = i => 40 + (all.length > 1 ? i / (all.length - 1) : 0.5) * 540, y = v => 120 - 100 * v, draw = (tag, given, text) => {
      const e = document.createElementNS("http://www.w3.org/2000/svg", tag);
      for (const [name, value] of Object.entries(given)) e.setAttribute(name, value);
      if (text) e.textContent = text;
      return e;
    };
    const recent = hits.map((_, i) => { const own = hits.slice(Math.max(0, i - WINDOW + 1), i + 1), n = own.filter(Boolean).length; return [n / own.length, ...wilson(n, own.length)]; });
    const line = pick => recent.map((v, i) => `${x(i)},${y(pick(v))}`);
    box.replaceChildren(
      ...[0, 0.5, 1].flatMap(v => [draw("line", { x1: 40, x2: 580, y1: y(v), y2: y(v), class: "grid" }), draw("text", { x: 34, y: y(v) + 4, "text-anchor": "end" }, percent(v))]),
      draw("polygon", { points: [...line(v => v[1]), ...line(v => v[2]).reverse()].join(" "), class: "band" }),
      draw("polyline", { points: line(v => v[0]).join(" "), class: "line" }),
      ...hits.map((hit, i) => draw("circle", { cx: x(i), cy: y(hit ? 1 : 0), r: 3, class: hit ? "hit" : "miss" })),
      draw("text", { x: 40, y: 142 }, all[0].time.slice(0, 10)), draw("text", { x: 580, y: 142, "text-anchor": "end" }, all[all.length - 1].time.slice(0, 10)),
    );
    box.setAttribute("aria-label", `Share of the last ${WINDOW} cells signed as read, over time: ${percent(recent[recent.length - 1][0])} at the end`);
  }

  /* -- a case: its cell is unpacked when it is opened, its neighbours' soon after -- */
  let lines = null, opening = null;
  const unpacked = new Map(), held = [];
  async function unpack(row) {
    lines ||= $("#cases").textContent.split("\n");
    const case_ = JSON.parse(lines[row.dataset.rank - 1]);
    if (case_.cell) {
      const bytes = Uint8Array.from(atob(case_.cell), letter => letter.charCodeAt(0));
      case_.cell = await new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"))).json();
    } else case_.cell = null;
    return case_;
  }
  async function open(row) {
    opening = row;
    const case_ = unpacked.get(row) || (await unpack(row));
    if (opening !== row) return; // another one was asked for meanwhile
    opening = null;
    show(row, case_);
    for (const event of held.splice(0)) document.activeElement.dispatchEvent(new KeyboardEvent(event.type, event));
    for (const near of [...unpacked.keys()]) if (near !== next(1) && near !== next(-1)) unpacked.delete(near);
    for (const near of [next(1), next(-1)]) if (near && !unpacked.has(near)) unpacked.set(near, await unpack(near));
  }
  dialog.addEventListener("keydown", event => { if (opening && event.isTrusted) { held.push(event); event.preventDefault(); event.stopPropagation(); } }, true);
  function show(row, case_) {
    current = row;
    const visible = rows.filter(r => !r.hidden).length;
    let place = 1;
    for (let before = row.previousElementSibling; before; before = before.previousElementSibling) place += !before.hidden;
    shown?.destroy();
    if (!dialog.open) dialog.showModal();
    shown = showCell($(".cell"), {
      ...case_, title: row.dataset.file, decision: row.dataset.decision, reason: row.dataset.reason, key: row.dataset.key, bands: told.bands, notice: told.notice,
      where: `${place} of ${visible}`, review: reviews.get(row.dataset.key), initials: remembered(),
      sign: review => {
        if (!review.picture) return "This case has no picture that could be read: nothing is recorded.";
        try { localStorage.setItem("karyo-initials", review.initials); } catch { /* asked again */ }
        return keepReview(review);
      },
      step: n => { const there = next(n); if (there) open(there); }, close: () => dialog.close(),
    });
    keep();
  }
  function remembered() { try { return localStorage.getItem("karyo-initials") || ""; } catch { return ""; } }
  function next(step) {
    let row = current;
    do row = step > 0 ? row.nextElementSibling : row.previousElementSibling; while (row && row.hidden);
    return row;
  }
  body.addEventListener("click", event => { const opener = event.target.closest(".open"); if (opener) open(opener.closest("tr")); });
  dialog.addEventListener("cancel", event => { event.preventDefault(); }); // Esc goes to the cell first
  dialog.addEventListener("close", () => {
    const row = current;
    current = null;
    shown?.destroy();
    keep();
    if (row) $(".open", row).focus();
  });

  /* -- start -- */
  const state = new URLSearchParams(location.hash.slice(1));
  for (const value of (state.get("show") || "").split(" ")) buttons.find(b => b.value === value && !b.disabled)?.setAttribute("aria-pressed", "true");
  search.value = state.get("search") || "";
  const by = (state.get("sort") || "").replace("-", "");
  if ($$(".list th button").some(b => b.value === by)) sort(by, state.get("sort").startsWith("-"));
  loadKept();
  summarise();
  filter();
  if (served) fetchReviews();
  const wanted = rows.find(row => row.dataset.rank === state.get("case"));
  if (wanted) open(wanted);
  document.documentElement.dataset.ready = "true";
})();
