/* Sorts a karyo table by the column whose heading is pressed, marks the row that is pressed, filters the rows
   of a long table by what is typed, and says where columns are out of sight.
   Works in JupyterLab and in the reports. */
(function () {
  if (window.karyoTables) return;
  window.karyoTables = true;
  document.addEventListener("click", function (event) {
    if (!event.target.closest) return;
    var row = event.target.closest(".karyo-table tbody tr");
    if (row && !event.target.closest("a") && !String(window.getSelection())) row.classList.toggle("marked");
    var button = event.target.closest(".karyo-table th button");
    if (!button) return;
    var heading = button.parentNode, table = heading.closest("table"), body = table.tBodies[0];
    var column = heading.cellIndex, descending = heading.getAttribute("aria-sort") === "ascending";
    function key(row) {
      var cell = row.cells[column], raw = cell.getAttribute("data-value");
      return raw === null ? cell.textContent.trim() : (raw === "" ? NaN : parseFloat(raw));
    }
    var rows = Array.prototype.map.call(body.rows, function (row, place) { return [key(row), place, row]; });
    rows.sort(function (a, b) {
      var x = a[0], y = b[0], order;
      if (typeof x === "number" && typeof y === "number") {
        if (isNaN(x) || isNaN(y)) return isNaN(x) - isNaN(y) || a[1] - b[1];   // missing values stay last
        order = x - y;
      } else order = String(x).localeCompare(String(y), undefined, { numeric: true });
      return (descending ? -order : order) || a[1] - b[1];
    });
    rows.forEach(function (row) { body.appendChild(row[2]); });
    table.querySelectorAll("th").forEach(function (other) { other.removeAttribute("aria-sort"); });
    heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
  });
  document.addEventListener("input", function (event) {
    if (!event.target.matches(".karyo-filter")) return;
    var words = event.target.value.toLowerCase().split(/\s+/);
    event.target.closest(".karyo-table").querySelectorAll("tbody tr").forEach(function (row) {
      var text = row.textContent.toLowerCase();
      row.hidden = !words.every(function (word) { return text.indexOf(word) >= 0; });
    });
  });
  var widths = window.ResizeObserver && new ResizeObserver(function (boxes) {
    boxes.forEach(function (box) { box.target.classList.toggle("more", box.target.scrollWidth > box.target.clientWidth + 1); });
  });
  function watch() { document.querySelectorAll(".karyo-scroll").forEach(function (box) { widths.observe(box); }); }
  if (widths) {
    watch();
    new MutationObserver(watch).observe(document, { childList: true, subtree: true });  // JupyterLab adds cells later
  }
})();
