(function () {
  "use strict";
  var body = document.querySelector(".list tbody"), rows = Array.prototype.slice.call(body.rows);
  var buttons = Array.prototype.slice.call(document.querySelectorAll(".filter button"));
  var search = document.querySelector("input[type=search]"), count = document.querySelector(".shown");
  var empty = document.querySelector(".empty"), dialog = document.querySelector("dialog");
  var texts = rows.map(function (row) { return row.textContent.toLowerCase(); });
  rows.forEach(function (row, place) { row.place = place; });

  function filter() {
    var wanted = {}, any = false, words = search.value.toLowerCase().split(/\s+/).filter(Boolean), shown = 0;
    buttons.forEach(function (b) { if (b.getAttribute("aria-pressed") === "true") { wanted[b.value] = any = true; } });
    rows.forEach(function (row) {
      var keep = (!any || wanted[row.dataset.decision]) && words.every(function (w) { return texts[row.place].indexOf(w) >= 0; });
      row.hidden = !keep;
      if (keep) shown++;
    });
    count.textContent = shown === rows.length ? rows.length + " cases" : shown + " of " + rows.length + " cases";
    empty.hidden = shown > 0;
  }
  buttons.forEach(function (b) {
    b.addEventListener("click", function () { b.setAttribute("aria-pressed", b.getAttribute("aria-pressed") !== "true"); filter(); });
  });
  search.addEventListener("input", filter);
  document.getElementById("heat").addEventListener("click", function () {
    this.setAttribute("aria-pressed", document.body.classList.toggle("heat"));
  });

  document.querySelector(".list thead").addEventListener("click", function (event) {
    var button = event.target.closest("button");
    if (!button) return;
    var heading = button.parentNode, key = button.value, down = heading.getAttribute("aria-sort") === "ascending";
    if (!heading.hasAttribute("aria-sort") && (key === "p" || key === "c")) down = true;   // the highest first
    var number = key === "p" || key === "c" || key === "rank";
    var sorted = rows.map(function (row) {
      var value = row.dataset[key];
      return [number ? (value === "" ? NaN : parseFloat(value)) : value, row];
    });
    sorted.sort(function (a, b) {
      var x = a[0], y = b[0], order;
      if (number) {
        if (isNaN(x) || isNaN(y)) return isNaN(x) - isNaN(y) || a[1].place - b[1].place;   // unread files stay last
        order = x - y;
      } else order = x.localeCompare(y, undefined, { numeric: true });
      return (down ? -order : order) || a[1].place - b[1].place;
    });
    var all = document.createDocumentFragment();
    sorted.forEach(function (pair) { all.appendChild(pair[1]); });
    body.appendChild(all);
    document.querySelectorAll(".list th").forEach(function (other) { other.removeAttribute("aria-sort"); });
    heading.setAttribute("aria-sort", down ? "descending" : "ascending");
  });

  var current = null;
  function open(row) {
    current = row;
    var stage = dialog.querySelector(".stage"), facts = dialog.querySelector("dl"), page = row.querySelector(".page");
    var slider = dialog.querySelector("input[type=range]"), overlay = dialog.querySelector(".overlay");
    dialog.querySelector("h2").textContent = row.querySelector(".file").textContent;
    stage.textContent = "";
    stage.classList.toggle("without", !page);
    if (page) {
      page.querySelectorAll("img").forEach(function (image) { var copy = image.cloneNode(); copy.loading = "eager"; stage.appendChild(copy); });
    } else stage.textContent = row.dataset.decision === "quarantined" ? "This file could not be read." : "No picture in this worklist.";
    var heat = stage.querySelector(".heat");
    overlay.hidden = !heat;
    var label = "\u201c" + JSON.parse(row.dataset.facts)[0][1] + "\u201d";
    dialog.querySelector(".meaning").textContent = !heat ? "" : {
      "marks": "Blue: as usual. Vermillion: unusual number, or unlike its homologue. Amber, dashed: doubtful.",
      "occlusion": "Coloured: chromosomes that, when covered, take most from " + label + ".",
      "grad-cam": "Coloured: the part of the page that spoke most for " + label + "."
    }[dialog.dataset.heat];
    dialog.querySelector(".why").textContent = row.dataset.reason;
    var visible = rows.filter(function (other) { return !other.hidden; }).length, place = 1;
    for (var before = row.previousElementSibling; before; before = before.previousElementSibling) place += !before.hidden;
    dialog.querySelector(".where").textContent = place + " of " + visible;
    if (heat) { slider.value = dialog.dataset.heat === "marks" ? 90 : 55; heat.style.opacity = slider.value / 100; slider.oninput = function () { heat.style.opacity = slider.value / 100; }; }
    var detail = row.querySelector(".detail"), pair = dialog.querySelector(".pair");
    pair.textContent = "";
    if (detail) {
      var shown = detail.cloneNode();
      shown.hidden = false; shown.loading = "eager"; shown.alt = "Chromosomes of an unusual number, or the pair that differs most with its band profiles";
      pair.appendChild(shown);
    }
    facts.textContent = "";
    JSON.parse(row.dataset.facts).forEach(function (fact) {
      if (!fact[1]) return;
      var dt = document.createElement("dt"), dd = document.createElement("dd");
      dt.textContent = fact[0]; dd.textContent = fact[1];
      facts.appendChild(dt); facts.appendChild(dd);
    });
    dialog.querySelector(".decided").replaceChildren(row.querySelector(".chip").cloneNode(true));
    dialog.querySelector(".previous").disabled = !next(-1);
    dialog.querySelector(".next").disabled = !next(1);
    if (!dialog.open) dialog.showModal();
  }
  function next(step) {
    var row = current;
    do { row = step > 0 ? row.nextElementSibling : row.previousElementSibling; } while (row && row.hidden);
    return row;
  }
  function go(step) { var row = next(step); if (row) open(row); }
  body.addEventListener("click", function (event) {
    var opener = event.target.closest(".page, .none");
    if (opener) open(opener.closest("tr"));
  });
  dialog.querySelector(".previous").addEventListener("click", function () { go(-1); });
  dialog.querySelector(".next").addEventListener("click", function () { go(1); });
  dialog.querySelector(".close").addEventListener("click", function () { dialog.close(); });
  dialog.addEventListener("click", function (event) { if (event.target === dialog) dialog.close(); });
  dialog.addEventListener("keydown", function (event) {
    if (event.target.type === "range") return;
    if (event.key === "ArrowRight") go(1);
    if (event.key === "ArrowLeft") go(-1);
  });
  dialog.addEventListener("close", function () { if (current) current.querySelector(".page, .none").focus(); });
  document.addEventListener("keydown", function (event) {
    if (event.key !== "/" || dialog.open || event.target === search) return;
    event.preventDefault();
    search.focus();
  });
  filter();
})();
