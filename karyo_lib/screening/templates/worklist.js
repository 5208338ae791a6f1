/* The list of cases: filters, order, reviews kept in the browser or by `karyo review`; cell.js is above it. */
(function () {
  const $ = (selector, from = document) => from.querySelector(selector);
  const $$ = (selector, from = document) => [...from.querySelectorAll(selector)];
  const told = JSON.parse($("#worklist").textContent), cases = JSON.parse($("#list").textContent);
  const list = $(".list"), dialog = $("dialog"), search = $("input[type=search]");
  const buttons = $$(".filter button"), empty = $(".empty[hidden]"), served = location.protocol.startsWith("http"), STORE = "karyo-review:";
  const reviews = new Map(), unsaved = new Set(); // both by the digest of a case's pixels
  const known = new Map(cases.filter(one => one.digest).map(one => [one.digest, one]));
  const reviewOf = one => reviews.get(one.digest);
  let order = cases, visible = cases, current = null, shown = null;

  /* -- filters and order, kept in the address: they survive a reload -- */
  function keep() {
    const state = new URLSearchParams(), pressed = buttons.filter(b => b.getAttribute("aria-pressed") === "true").map(b => b.value);
    const sorted = $(".list th[aria-sort]"), by = sorted && $("button", sorted).value, down = sorted?.getAttribute("aria-sort") === "descending";
    if (pressed.length) state.set("show", pressed.join(" "));
    if (search.value) state.set("search", search.value);
    if (by && (by !== "rank" || down)) state.set("sort", (down ? "-" : "") + by);
    if (current) state.set("case", current.rank);
    history.replaceState(null, "", `#${state}`);
  }
  const textOf = one => (one.text ||= [one.name, one.patient_id, one.title, one.reason, one.formula, one.evidence, one.notes].join(" ").toLowerCase()) + sayReview(one).toLowerCase();
  function filter() {
    const pressed = buttons.filter(b => b.getAttribute("aria-pressed") === "true").map(b => b.value);
    const decisions = pressed.filter(v => v !== "open" && v !== "signed"), states = pressed.filter(v => v === "open" || v === "signed");
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const before = visible;
    visible = order.filter(one => (!decisions.length || decisions.includes(one.decision)) && (!states.length || states.includes(reviewOf(one) ? "signed" : "open"))
      && words.every(word => textOf(one).includes(word)));
    $(".shown").textContent = visible.length === cases.length ? `${cases.length} cases` : `${visible.length} of ${cases.length} cases`;
    empty.hidden = visible.length > 0;
    if (!list.tBodies.length || visible.length !== before.length || visible.some((one, i) => one !== before[i])) layOut();
  }
  function sort(key, down) {
    const number = ["probability", "rank"].includes(key), valueOf = one => (key === "review" ? sayReview(one) : number ? parseFloat(one[key]) : one[key]);
    order = cases.map(one => [valueOf(one), one]).sort(([x, a], [y, b]) => {
      if (number && (isNaN(x) || isNaN(y))) return isNaN(x) - isNaN(y) || a.rank - b.rank; // unread files stay last
      const before = number ? x - y : collator.compare(x, y);
      return (down ? -before : before) || a.rank - b.rank;
    }).map(([, one]) => one);
    for (const heading of $$(".list th")) heading.removeAttribute("aria-sort");
    $(`.list th button[value="${key}"]`).parentNode.setAttribute("aria-sort", down ? "descending" : "ascending");
    filter();
  }
  const collator = new Intl.Collator(undefined, { numeric: true });
  for (const button of buttons) button.addEventListener("click", () => { button.setAttribute("aria-pressed", button.getAttribute("aria-pressed") !== "true"); filter(); keep(); });
  search.addEventListener("input", () => { filter(); keep(); });
  $(".list thead").addEventListener("click", event => {
    const button = event.target.closest("button"), heading = button?.parentNode;
    if (!button) return;
    sort(button.value, heading.hasAttribute("aria-sort") ? heading.getAttribute("aria-sort") === "ascending" : button.value === "probability");
    keep();
  });
  document.addEventListener("keydown", event => {
    if (event.key !== "/" || dialog.open || event.target.matches("input")) return;
    event.preventDefault();
    search.focus();
  });

  /* -- rows: those near what is seen stand in the page, so that thousands of cases open and scroll at once -- */
  const PART = 8, parts = () => [...list.tBodies], rowOf = new Map();
  let usual = 0; // height of a full part
  const watch = new IntersectionObserver(seen => seen.forEach(one => (one.isIntersecting ? fill : clear)(one.target)), { rootMargin: "1200px" });
  function layOut() {
    watch.disconnect();
    rowOf.clear();
    const at = document.documentElement.scrollTop;
    parts().forEach(part => part.remove());
    list.setAttribute("aria-rowcount", visible.length + 1);
    for (let first = 0; first < visible.length; first += PART) {
      const part = build("tbody", { role: "rowgroup" });
      part.first = first;
      list.append(part);
      if (first <= PART) fill(part); // a screen full
      else part.style.height = `${(usual ||= list.tBodies[0].offsetHeight) * Math.min(PART, visible.length - first) / PART}px`;
      watch.observe(part);
    }
    document.documentElement.scrollTop = at;
  }
  function fill(part) {
    if (part.rows.length) return;
    part.append(...visible.slice(part.first, part.first + PART).map((one, i) => layRow(one, part.first + i)));
    part.style.height = "";
  }
  function clear(part) {
    if (!part.rows.length || part.contains(document.activeElement)) return;
    part.style.height = `${part.offsetHeight}px`;
    for (const row of part.rows) rowOf.delete(row.case);
    part.replaceChildren();
  }
  function reveal(one) {
    const part = parts()[Math.floor(visible.indexOf(one) / PART)];
    if (part) fill(part);
    return rowOf.get(one);
  }
  const say = p => (p > 0.99 ? ">0.99" : p < 0.01 ? "<0.01" : p.toFixed(2)); // as the reasons do
  function layRow(one, place) {
    const soft = (text, more) => build("span", { className: "soft", ...more }, text), cell = (...what) => build("td", { role: "cell" }, ...what);
    const thumbnail = told.pictures && lineOf(one).thumbnail, p = parseFloat(one.probability);
    const bar = () => { const part = build("i"); part.style.width = `${100 * p}%`; return build("span", { className: `bar${one.label === "abnormal" ? " high" : ""}` }, part); };
    const row = build("tr", { role: "row", "aria-rowindex": place + 2 },
      cell(String(one.rank)),
      cell(build("button", { type: "button", className: "open", "aria-label": `Open case ${one.rank}`, onclick: () => open(one) },
        thumbnail ? build("img", { className: "seen", src: thumbnail, alt: "", decoding: "async" }) : build("span", {}, one.decision === "quarantined" ? "not readable" : "no picture"))),
      cell(build("span", { className: "file" }, build("bdi", {}, one.name)), ...(one.notes ? [build("br"), soft(one.notes)] : [])),
      ...(told.patients ? [cell(one.patient_id)] : []),
      cell(build("span", { className: `chip ${one.decision}` }, one.title)),
      cell(...(isNaN(p) ? [soft("none")] : [say(p), bar()])),
      ...(told.formulae ? [cell(build("span", { className: "formula" }, one.formula),
        ...(one.formula_probability ? [build("br"), soft(`P ${say(parseFloat(one.formula_probability))}`, { title: "Probability of these numbers of chromosomes against all others; structure is no part of it" })] : []),
        build("span", { className: "reviewed" }))] : []),
      cell(),
      cell(one.reason, ...(one.evidence && !one.evidence.startsWith("as if by") ? [build("br"), soft(one.evidence)] : [])),
    );
    row.cells[0].className = "rank";
    row.cells[row.cells.length - 2].className = "review";
    row.case = one;
    for (const key of ["rank", "decision", "probability", "reason"]) row.dataset[key] = one[key];
    row.dataset.file = one.name;
    rowOf.set(one, row);
    showReview(one);
    return row;
  }

  /* -- reviews -- */
  const sayReview = one => { const review = reviewOf(one); return review ? `${STATUS[review.status]}, ${review.initials}` : "open"; };
  function note(review, fresh) {
    const held = reviews.get(review.picture), one = known.get(review.picture);
    if (held && held.time >= review.time) return;
    reviews.set(review.picture, review);
    if (fresh) unsaved.add(review.picture);
    if (one) showReview(one);
  }
  function showReview(one) {
    const row = rowOf.get(one), review = reviewOf(one);
    if (!row) return;
    $(".review", row).textContent = sayReview(one);
    if (!review) return;
    row.dataset.review = "signed";
    const now = $(".reviewed", row);
    if (now) now.textContent = review.formula && review.formula !== one.formula && review.status !== "unusable" ? `signed as ${review.formula}` : "";
  }
  function summarise() {
    const signed = [...known.keys()].filter(key => reviews.has(key)).length;
    $('.filter button[value="open"] b').textContent = cases.length - signed;
    $('.filter button[value="signed"] b').textContent = signed;
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
    for (const key of known.keys()) {
      try {
        const review = JSON.parse(localStorage.getItem(STORE + key) || "null");
        if (review && review.picture === key && isReview(review)) note(review, true);
      } catch { /* what the browser kept is damaged: the case is open */ }
    }
  }
  $("#save").addEventListener("click", () => {
    const mine = [...reviews.values()].filter(review => known.has(review.picture));
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
      const found = readReviews(await file.text()), here = found.filter(review => known.has(review.picture));
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
    const all = [...reviews.values()].filter(r => r.status !== "unusable" && known.get(r.picture)?.formula).sort((a, b) => (a.time < b.time ? -1 : 1));
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
  function lineOf(one) {
    lines ||= $("#cases").textContent.split("\n");
    return JSON.parse(lines[one.rank - 1]);
  }
  async function unpack(one) {
    const case_ = lineOf(one);
    if (case_.cell) {
      const bytes = Uint8Array.from(atob(case_.cell), letter => letter.charCodeAt(0));
      case_.cell = await new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"))).json();
    } else case_.cell = null;
    return case_;
  }
  async function open(one) {
    opening = one;
    const case_ = unpacked.get(one) || (await unpack(one));
    if (opening !== one) return; // another one was asked for meanwhile
    opening = null;
    show(one, case_);
    for (const event of held.splice(0)) document.activeElement.dispatchEvent(new KeyboardEvent(event.type, event));
    for (const near of [...unpacked.keys()]) if (near !== next(1) && near !== next(-1)) unpacked.delete(near);
    for (const near of [next(1), next(-1)]) if (near && !unpacked.has(near)) unpacked.set(near, await unpack(near));
  }
  dialog.addEventListener("keydown", event => { if (opening && event.isTrusted) { held.push(event); event.preventDefault(); event.stopPropagation(); } }, true);
  function show(one, case_) {
    current = one;
    shown?.destroy();
    if (!dialog.open) dialog.showModal();
    shown = showCell($(".cell"), {
      ...case_, title: one.name, decision: one.decision, reason: one.reason, key: one.digest, bands: told.bands, notice: told.notice,
      where: `${visible.indexOf(one) + 1} of ${visible.length}`, review: reviewOf(one), initials: remembered(),
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
  function next(step) { // in order, from a case that may have left the list since
    const fits = new Set(visible);
    let at = order.indexOf(current) + step;
    while (order[at] && !fits.has(order[at])) at += step;
    return order[at];
  }
  dialog.addEventListener("cancel", event => { event.preventDefault(); }); // Esc goes to the cell first
  dialog.addEventListener("close", () => {
    const row = current && reveal(current);
    current = null;
    shown?.destroy();
    keep();
    (row ? $(".open", row) : search).focus();
  });

  /* -- start -- */
  const state = new URLSearchParams(location.hash.slice(1));
  for (const value of (state.get("show") || "").split(" ")) buttons.find(b => b.value === value && !b.disabled)?.setAttribute("aria-pressed", "true");
  search.value = state.get("search") || "";
  loadKept();
  summarise();
  const by = (state.get("sort") || "rank").replace("-", "");
  if ($$(".list th button").some(b => b.value === by)) sort(by, state.get("sort")?.startsWith("-"));
  else filter();
  if (served) fetchReviews();
  const wanted = cases.find(one => String(one.rank) === state.get("case"));
  if (wanted) open(wanted);
  globalThis.addEventListener("beforeprint", () => { watch.disconnect(); parts().forEach(fill); });
  globalThis.addEventListener("afterprint", layOut);
  document.documentElement.dataset.ready = "true";
})();
